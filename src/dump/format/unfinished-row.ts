/**
 * The rest of a row from its first large cell of JSON on: what the kernel wrote of it, and the large cells themselves,
 * which are written when their turn comes, a few milliseconds at a time.
 */
import type { KernelFormat } from '../../format.ts';
import type { Emit } from '../formatter.ts';
import type { JsonCell } from './json-bytes.ts';
import { LargeNested } from './large-nested.ts';
import { PieceBuffer } from './piece-buffer.ts';
import { RepeatedKeys } from './repeated-keys.ts';

type Part = { readonly format: KernelFormat } & (
  { readonly bytes: Uint8Array } | { readonly cell: LargeNested }
);

export class UnfinishedRow {
  readonly #parts: Part[] = [];
  readonly #pieces = new PieceBuffer();
  /** Of each column, found once for all formats. */
  readonly #repeated = new Map<number, RepeatedKeys>();
  #next = 0;

  /** The bytes must stay as they are until the row is written. */
  addBytes(format: KernelFormat, bytes: Uint8Array): void {
    this.#parts.push({ format, bytes });
  }

  addCell(format: KernelFormat, column: number, cell: JsonCell, element: string | null): void {
    const repeated = this.#repeated.get(column) ?? new RepeatedKeys(cell);
    this.#repeated.set(column, repeated);
    this.#parts.push({ format, cell: new LargeNested(cell, element, repeated, this.#pieces) });
  }

  /** Write on for a few milliseconds; true once the row is written. */
  advance(emit: Emit): boolean {
    for (; this.#next < this.#parts.length; this.#next++) {
      const part = this.#parts[this.#next] as Part;
      if ('bytes' in part) {
        emit(part.format, part.bytes);
        continue;
      }
      this.#pieces.emit = (bytes) => emit(part.format, bytes);
      if (!part.cell.advance()) return false;
    }
    return true;
  }
}
