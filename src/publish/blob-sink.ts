/**
 * One blob on its way out: bytes are counted and hashed as they flow into the store's upload, and a slow upload
 * pushes back until Postgres waits (promises P1 and P14).
 */
import { createHash } from 'node:crypto';
import type { BlobSource } from '../blob-store/blob-store.ts';
import type { Chunk } from '../dump/chunk-pool.ts';

/** Bytes that may wait in one sink before the scan is held. */
const backlogBytes = 1024 * 1024;

export class BlobSink {
  /** What the store uploads. */
  readonly source: BlobSource;
  bytes = 0;
  readonly #hash = createHash('sha256');
  readonly #waiting: Chunk[] = [];
  #backlog = 0;
  /** What the store reads at the moment: its own until it asks for more. */
  #lent: Chunk | null = null;
  #ended: { readonly error: Error | null } | null = null;
  /** The store waits for more. */
  #more: PromiseWithResolvers<void> | null = null;
  #held: PromiseWithResolvers<void> | null = null;

  constructor() {
    this.source = {
      destroy: (error) => this.fail(error ?? new Error('the upload was let go of')),
      [Symbol.asyncIterator]: () => ({
        next: () => this.#next(),
        return: async () => {
          this.fail(new Error('the upload was let go of'));
          return { done: true, value: undefined };
        },
      }),
    };
  }

  /** Take bytes that stay unchanged until they are released. */
  accept(chunk: Chunk): void {
    if (this.#ended !== null) return chunk.release();
    this.#hash.update(chunk.bytes);
    this.bytes += chunk.bytes.length;
    this.#backlog += chunk.bytes.length;
    this.#waiting.push(chunk);
    if (this.#backlog > backlogBytes) this.#held ??= Promise.withResolvers();
    this.#more?.resolve();
  }

  /** A promise while the upload is behind; undefined when more may come. */
  backpressure(): Promise<void> | undefined {
    return this.#held?.promise;
  }

  /** No more bytes: only after the scan was found complete. Returns the hex sha256 of everything taken. */
  finish(): string {
    this.#ended ??= { error: null };
    this.#more?.resolve();
    return this.#hash.digest('hex');
  }

  /** The upload fails with `error` and cleans up after itself; nothing once the last byte was read. */
  fail(error: Error): void {
    if (this.#ended?.error) return;
    this.#ended = { error };
    for (const chunk of this.#waiting.splice(0)) chunk.release();
    this.#backlog = 0;
    this.#more?.resolve();
    this.#release();
  }

  async #next(): Promise<IteratorResult<Uint8Array, undefined>> {
    this.#lent?.release();
    this.#lent = null;
    while (this.#waiting.length === 0 && this.#ended === null) {
      this.#more = Promise.withResolvers();
      await this.#more.promise;
      this.#more = null;
    }
    const chunk = this.#waiting.shift();
    if (chunk === undefined) {
      if (this.#ended?.error) throw this.#ended.error;
      return { done: true, value: undefined };
    }
    this.#lent = chunk;
    this.#backlog -= chunk.bytes.length;
    if (this.#backlog <= backlogBytes / 2) this.#release();
    return { done: false, value: chunk.bytes };
  }

  #release(): void {
    this.#held?.resolve();
    this.#held = null;
  }
}
