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

/** The input's first size: a socket's chunk and what the last one left. */
const inputBytes = 2 * pageBytes;
/** A row beyond this is refused with `CELL_TOO_LARGE`: the kernel must see it whole. */
export const largestRowBytes = 256 * 2 ** 20;
/** Code and length of a message, which counts itself. */
const headerBytes = 5;

// The kernel's `state`.
const foreign = 1;
const broken = 2;

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

  feed(chunk: Uint8Array, emit: Emit): Uint8Array | null {
    this.#emit = emit;
    for (let taken = 0; taken < chunk.length;) {
      const free = this.#bytes.length - slackBytes - this.#layout.input - this.#left;
      const part = chunk.subarray(taken, taken + free);
      this.#bytes.set(part, this.#layout.input + this.#left);
      taken += part.length;
      this.#left = this.#kernel.run(this.#layout.input, this.#left + part.length);
      const state = this.#kernel.state.value;
      if (state === broken)
        throw new DumperError('COPY_BROKEN', `row ${this.rows + 1} is not as the columns say`);
      const start = this.#layout.input;
      if (state === foreign)
        return Buffer.concat([this.#bytes.subarray(start, start + this.#left), chunk.subarray(taken)]);
      this.#growForMessage();
    }
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
    this.#emit(kernelFormats[slot] as KernelFormat, this.#bytes.subarray(start, start + length));
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
    const text = this.#frame(format).nested?.(this.#read(column, start, end, quoted === 1), column);
    const output = this.#layout.outputs.get(format);
    if (text === undefined || output === undefined) throw new RangeError(`${format} writes no nested cells`);
    if (out + text.length * 3 <= output.limit) return out + this.#bytes.write(text, out, 'utf8');
    if (out > output.start) this.#handOver(slot, output.start, out - output.start);
    this.#emit(format, Buffer.from(text));
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
