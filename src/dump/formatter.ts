/**
 * The formatter's port: one COPY stream in, the bytes of every requested format out, with no object per row.
 *
 * `format/` holds the implementation (a WebAssembly kernel that scans CopyData messages once). Live answers and blobs
 * use the same one, so the same code makes their bytes.
 */
import type { CkanProfile } from '../ckan/profile.ts';
import type { KernelFormat } from '../format.ts';
import type { PythonJson } from '../python-json.ts';

/** A column of the output, in order. */
export interface OutputColumn {
  readonly name: string;
  /** `pg_type.typname` with domains resolved to their base type: decides how a cell is written. */
  readonly type: string;
  /** Its entry in the JSON head's `fields`, in CKAN's key order, e.g. `{id, type}` or `{id, type, info}`. */
  readonly field: Readonly<Record<string, PythonJson>>;
  /**
   * The JSON of a value cannot be made from its text: all formats but CSV and TSV come from a separate cell of JSON
   * text. Those cells follow the last column's cell, in the order of the columns.
   */
  readonly apart?: true;
}

export interface FormatterOptions {
  readonly columns: readonly OutputColumn[];
  readonly formats: readonly KernelFormat[];
  readonly profile: CkanProfile;
}

/** Takes finished bytes, which are valid only during the call. Backpressure is not here but in `copyOut`'s `whenReady`. */
export type Emit = (format: KernelFormat, bytes: Uint8Array) => void;

export interface Formatter {
  /** The bytes before the first row (header row, JSON head with fields, XML declaration), without a BOM. */
  head(format: KernelFormat): Uint8Array;
  /**
   * Take raw backend messages (any split). Emits every row that is complete, a row larger than a buffer in pieces.
   * Returns null, or, when a message other than CopyData and asynchronous ones begins, the bytes from that message on
   * (CopyDone, ErrorResponse). Throws COPY_BROKEN for data that is not a row of these columns, CELL_TOO_LARGE beyond
   * 256 MiB.
   */
  feed(chunk: Uint8Array, emit: Emit): Uint8Array | null;
  /** The bytes after the last row. */
  tail(format: KernelFormat): Uint8Array;
  /** Rows written so far. */
  readonly rows: number;
}

export type CreateFormatter = (options: FormatterOptions) => Formatter;
