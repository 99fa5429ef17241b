/** Collects small pieces of output, and gives them on when the buffer is full. */

const bufferBytes = 64 * 1024;
/** A run from here on is given on as it lies. */
const longRun = 16 * 1024;
/** Below this a loop is faster than a call. */
const shortRun = 32;

export class PieceBuffer {
  readonly #buffer = Buffer.allocUnsafe(bufferBytes);
  #used = 0;
  /** Takes bytes that are valid only during the call. */
  emit: (bytes: Uint8Array) => void = () => {};

  /** Copy the bytes from `from` up to `to`. */
  put(bytes: Buffer, from = 0, to = bytes.length): void {
    const length = to - from;
    if (length > bufferBytes - this.#used) this.flush();
    if (length >= longRun) {
      this.flush();
      this.emit(bytes.subarray(from, to));
    } else if (length < shortRun) {
      for (let at = from; at < to; at++) this.#buffer[this.#used++] = bytes[at] as number;
    } else {
      this.#used += bytes.copy(this.#buffer, this.#used, from, to);
    }
  }

  /** Text of ASCII, shorter than the buffer. */
  ascii(text: string): void {
    if (text.length > bufferBytes - this.#used) this.flush();
    for (let at = 0; at < text.length; at++) this.#buffer[this.#used++] = text.charCodeAt(at);
  }

  /** One character, by its code point; a surrogate becomes U+FFFD. */
  character(code: number): void {
    const text = String.fromCodePoint(code);
    if (bufferBytes - this.#used < 4) this.flush();
    this.#used += this.#buffer.write(text, this.#used, 'utf8');
  }

  flush(): void {
    if (this.#used > 0) this.emit(this.#buffer.subarray(0, this.#used));
    this.#used = 0;
  }
}
