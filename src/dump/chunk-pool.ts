/**
 * The formatter's small pieces, collected into chunks that all blobs of a format read and that are then reused. So a
 * publication or a live answer allocates almost nothing, whatever the table's size (promise P14, flat memory).
 */

/** Large enough that the fixed cost of a chunk (promises, system calls) does not matter. */
const chunkBytes = 256 * 1024;

/** Bytes that several readers share; each calls `release` once when it is done. */
export interface Chunk {
  readonly bytes: Uint8Array;
  release(): void;
}

/** A reader of chunks; a chunk stays unchanged until it is released. */
interface ChunkSink {
  accept(chunk: Chunk): void;
}

export interface ChunkPool {
  take(): Buffer;
  give(buffer: Buffer): void;
}

export function createChunkPool(): ChunkPool {
  const idle: Buffer[] = [];
  return {
    take: () => idle.pop() ?? Buffer.allocUnsafeSlow(chunkBytes),
    give: (buffer) => void idle.push(buffer),
  };
}

/** Copies of bytes that are valid only during the call. */
export function* inChunks(bytes: Uint8Array, pool: ChunkPool): Generator<Chunk> {
  for (let from = 0; from < bytes.length; from += chunkBytes) {
    const piece = bytes.subarray(from, from + chunkBytes);
    const buffer = pool.take();
    buffer.set(piece);
    yield { bytes: buffer.subarray(0, piece.length), release: () => pool.give(buffer) };
  }
}

/** A copy of a few bytes in its own memory. */
export function ownChunk(bytes: Uint8Array): Chunk {
  return { bytes: Buffer.from(bytes), release: () => undefined };
}

export interface ChunkBuffer {
  /** Copy bytes that are valid only during the call. */
  take(bytes: Uint8Array): void;
  /** Give the sinks what is collected so far. */
  flush(): void;
}

/** Collects the bytes of one format for all its sinks. */
export function createChunkBuffer(sinks: readonly ChunkSink[], pool: ChunkPool): ChunkBuffer {
  let buffer: Buffer | null = null;
  let filled = 0;
  const flush = (): void => {
    if (buffer === null) return;
    const full = buffer;
    let readers = sinks.length;
    const release = (): void => {
      readers -= 1;
      if (readers === 0) pool.give(full);
    };
    for (const sink of sinks) sink.accept({ bytes: full.subarray(0, filled), release });
    buffer = null;
    filled = 0;
  };
  return {
    take: (bytes) => {
      for (let taken = 0; taken < bytes.length;) {
        buffer ??= pool.take();
        const piece = bytes.subarray(taken, taken + chunkBytes - filled);
        buffer.set(piece, filled);
        filled += piece.length;
        taken += piece.length;
        if (filled === chunkBytes) flush();
      }
    },
    flush,
  };
}
