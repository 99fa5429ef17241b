/**
 * The formatter: feeds the socket's bytes to the WebAssembly kernel (`kernel.as.ts`) and hands its outputs on. Blobs
 * and live answers are written by this one, so their bytes are the same (promise P22).
 *
 * What the SELECT list must give, one column of `COPY … (FORMAT csv)` each, with `DateStyle` ISO:
 *   - every type as Postgres prints it, `timestamp` raw;
 *   - CKAN's `nested` and arrays as JSON text, `null` for NULL; json and jsonb as they are;
 *   - behind the last column, the JSON text of each whose `to_json` is neither its text in quotes nor one of the above
 *     (composites other than `nested`, types with a cast to json such as hstore or geometry).
 */
import { DumperError } from '../../errors.ts';
import { kernelFormats, type KernelFormat } from '../../format.ts';
import type { PythonJson } from '../../python-json.ts';
import type { CreateFormatter, Emit, Formatter, FormatterOptions } from '../formatter.ts';
import { floatText } from './float.ts';
import { frameOf, type Frame } from './frame.ts';
import { startKernel, pageBytes, type Kernel, type KernelInstance } from './kernel.ts';
import { layOut, slackBytes, type Layout } from './layout.ts';
import { readNested } from './nested.ts';
import { UnfinishedRow } from './unfinished-row.ts';

/** The input's first size: a socket's chunk and what the last one left. */
const inputBytes = 2 * pageBytes;
/** A row beyond this is refused with `CELL_TOO_LARGE`: the kernel must see it whole. */
export const largestRowBytes = 256 * 2 ** 20;
/** A cell of JSON from here on is written in pieces instead of from objects, which take fifty times its memory. */
const largeCellBytes = 64 * 1024;
/** Code and length of a message, which counts itself. */
const headerBytes = 5;

// The kernel's `state`.
const foreign = 1;
const broken = 2;
const held = 3;

/** See `CreateFormatter`. A row larger than an output buffer is emitted in several pieces. */
export const createFormatter: CreateFormatter = (options) => new KernelFormatter(options);

class KernelFormatter implements Formatter {
  readonly #frames: ReadonlyMap<KernelFormat, Frame>;
  readonly #layout: Layout;
  readonly #memory: KernelInstance['memory'];
  readonly #kernel: Kernel;
  #bytes: Buffer;
  /** Bytes of an unfinished message at the input's beginning. */
  #left = 0;
  #emit: Emit = () => {};
  /** Set while a row with a large cell is being written: the input stays as it is until then. */
  #unfinished: UnfinishedRow | null = null;
  /** Where the input goes on behind that row, and what was not copied into it yet. */
  #restAt = 0;
  #unread: Uint8Array = new Uint8Array();
  /** The nested cells of the row that is being written. */
  readonly #readCells = new Map<number, PythonJson>();
  #readRow = 0;

  constructor(options: FormatterOptions) {
    this.#frames = new Map(options.formats.map((format) => [format, frameOf(format, options)]));
    this.#layout = layOut(options, this.#frames);
    const pages = Math.ceil((this.#layout.input + inputBytes + slackBytes) / pageBytes);
    const { kernel, memory } = startKernel(pages, {
      emit: this.#handOver.bind(this),
      spellFloat: this.#spellFloat.bind(this),
      nest: this.#nest.bind(this),
    });
    this.#kernel = kernel;
    this.#memory = memory;
    this.#bytes = Buffer.from(memory.buffer);
    this.#layout.apply(this.#bytes, this.#kernel);
  }

  get rows(): number {
    return this.#kernel.rows.value;
  }

  head(format: KernelFormat): Uint8Array {
    return Buffer.from(this.#frame(format).head());
  }

  tail(format: KernelFormat): Uint8Array {
    return Buffer.from(this.#frame(format).tail);
  }

  #frame(format: KernelFormat): Frame {
    const frame = this.#frames.get(format);
    if (frame === undefined) throw new RangeError(`${format} is not written`);
    return frame;
  }

  get isUnfinished(): boolean {
    return this.#unfinished !== null;
  }

  feed(chunk: Uint8Array, emit: Emit): Uint8Array | null {
    this.#emit = emit;
    return this.#take(this.#unfinished === null ? chunk : this.#continueRow(this.#unfinished));
  }

  /** Write on; returns what is to be taken next, or null while the row is not written. */
  #continueRow(row: UnfinishedRow): Uint8Array | null {
    if (!row.advance(this.#emit)) return null;
    this.#unfinished = null;
    this.#bytes.copyWithin(this.#layout.input, this.#restAt, this.#restAt + this.#left);
    return this.#unread;
  }

  #take(chunk: Uint8Array | null): Uint8Array | null {
    if (chunk === null) return null;
    const start = this.#layout.input;
    let taken = 0;
    do {
      const free = this.#bytes.length - slackBytes - start - this.#left;
      const part = chunk.subarray(taken, taken + free);
      this.#bytes.set(part, start + this.#left);
      taken += part.length;
      const length = this.#left + part.length;
      this.#left = this.#kernel.run(start, length);
      const state = this.#kernel.state.value;
      if (state === broken)
        throw new DumperError('COPY_BROKEN', `row ${this.rows + 1} is not as the columns say`);
      if (state === foreign)
        return Buffer.concat([this.#bytes.subarray(start, start + this.#left), chunk.subarray(taken)]);
      if (state === held) {
        this.#restAt = start + length - this.#left;
        this.#unread = Buffer.from(chunk.subarray(taken));
        return null;
      }
      this.#growForMessage();
    } while (taken < chunk.length);
    return null;
  }

  /** Make the input as long as the message that has begun, so that it is copied into it once. */
  #growForMessage(): void {
    if (this.#left < headerBytes) return;
    const message = this.#bytes.readUInt32BE(this.#layout.input + 1) + 1;
    if (message < headerBytes) throw new DumperError('COPY_BROKEN', 'a message of no length');
    if (message > largestRowBytes) {
      throw new DumperError(
        'CELL_TOO_LARGE',
        `row ${this.rows + 1} takes ${message} bytes, more than ${largestRowBytes}`,
      );
    }
    const missing = this.#layout.input + message + slackBytes - this.#bytes.length;
    if (missing <= 0) return;
    this.#memory.grow(Math.ceil(missing / pageBytes));
    this.#bytes = Buffer.from(this.#memory.buffer);
  }

  #handOver(slot: number, start: number, length: number): void {
    this.#give(kernelFormats[slot] as KernelFormat, this.#bytes.subarray(start, start + length));
  }

  /** Emit, or keep behind a large cell that is not written yet; outputs are written again meanwhile, the input is not. */
  #give(format: KernelFormat, bytes: Uint8Array): void {
    if (this.#unfinished === null) return this.#emit(format, bytes);
    const isInput = bytes.buffer === this.#bytes.buffer && bytes.byteOffset >= this.#layout.input;
    this.#unfinished.addBytes(format, isInput ? bytes : Buffer.from(bytes));
  }

  /** A float in Python's spelling at `out`; its length, negative where it is too large for one. */
  #spellFloat(start: number, length: number, out: number): number {
    const value = Number(this.#bytes.toString('latin1', start, start + length));
    const written = this.#bytes.write(floatText(value), out, 'latin1');
    return Number.isFinite(value) ? written : -written;
  }

  /** Write a cell of JSON anew at `out`, or, where it does not fit, straight to the emitter. */
  #nest(slot: number, column: number, start: number, end: number, quoted: number, out: number): number {
    const format = kernelFormats[slot] as KernelFormat;
    const { nested, elementOf } = this.#frame(format);
    const output = this.#layout.outputs.get(format);
    if (nested === null || output === undefined) throw new RangeError(`${format} writes no nested cells`);
    if (end - start >= largeCellBytes) {
      if (out > output.start) this.#handOver(slot, output.start, out - output.start);
      const cell = { bytes: this.#bytes, start, end };
      this.#unfinished ??= new UnfinishedRow();
      this.#unfinished.addCell(format, column, cell, elementOf?.(column) ?? null);
      this.#kernel.state.value = held;
      return output.start;
    }
    const text = nested(this.#read(column, start, end, quoted === 1), column);
    if (out + text.length * 3 <= output.limit) return out + this.#bytes.write(text, out, 'utf8');
    if (out > output.start) this.#handOver(slot, output.start, out - output.start);
    this.#give(format, Buffer.from(text));
    return output.start;
  }

  /** The value of a cell, read once for all formats. */
  #read(column: number, start: number, end: number, quoted: boolean): PythonJson {
    if (this.#readRow !== this.rows) this.#readCells.clear();
    this.#readRow = this.rows;
    const known = this.#readCells.get(column);
    if (known !== undefined) return known;
    const cell = this.#bytes.toString('utf8', start, end);
    const value = readNested(quoted ? cell.replaceAll('""', '"') : cell);
    this.#readCells.set(column, value);
    return value;
  }
}
