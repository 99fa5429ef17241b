/**
 * One blob on its way out: bytes are counted and hashed as they flow into the store's upload, and a slow upload
 * pushes back until Postgres waits (promises P1 and P14).
 */
import { createHash } from 'node:crypto';
import { Readable } from 'node:stream';

/** Bytes that may wait in one sink before the scan is held. */
const backlogBytes = 1024 * 1024;

export class BlobSink {
  /** What the store uploads. Destroying it with an error makes the upload fail and clean up after itself. */
  readonly source: Readable;
  bytes = 0;
  readonly #hash = createHash('sha256');
  #held: PromiseWithResolvers<void> | null = null;

  constructor() {
    this.source = new Readable({
      highWaterMark: backlogBytes,
      read: () => this.#release(),
      destroy: (error, callback) => {
        this.#release();
        callback(error);
      },
    });
  }

  /** Take bytes that stay unchanged from now on. */
  accept(bytes: Uint8Array): void {
    if (bytes.length === 0 || this.source.destroyed) return;
    this.#hash.update(bytes);
    this.bytes += bytes.length;
    if (!this.source.push(bytes)) this.#held ??= Promise.withResolvers();
  }

  /** A promise while the upload is behind; undefined when more may come. */
  held(): Promise<void> | undefined {
    return this.#held?.promise;
  }

  /** No more bytes: only after the scan was found complete. Returns the hex sha256 of everything taken. */
  finish(): string {
    this.source.push(null);
    return this.#hash.digest('hex');
  }

  fail(error: Error): void {
    this.source.destroy(error);
  }

  #release(): void {
    this.#held?.resolve();
    this.#held = null;
  }
}
