/**
 * The formatter's small pieces, gathered into chunks that all blobs of a format read and that are then used again: a
 * publication allocates next to nothing, whatever the table's size, and neither does a live answer (promise P14).
 */

/** Large enough that what a chunk costs beside its bytes (promises, system calls) is nothing. */
const chunkBytes = 256 * 1024;

/** Bytes that several readers share; each says once when it has done with them. */
export interface Chunk {
  readonly bytes: Uint8Array;
  release(): void;
}

/** Takes chunks that stay unchanged until they are released. */
export interface ChunkSink {
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

/** Copies of bytes that are valid during the call only. */
export function* inChunks(bytes: Uint8Array, pool: ChunkPool): Generator<Chunk> {
  for (let from = 0; from < bytes.length; from += chunkBytes) {
    const piece = bytes.subarray(from, from + chunkBytes);
    const buffer = pool.take();
    buffer.set(piece);
    yield { bytes: buffer.subarray(0, piece.length), release: () => pool.give(buffer) };
  }
}

/** A copy of a few bytes, in memory of its own. */
export function ownChunk(bytes: Uint8Array): Chunk {
  return { bytes: Buffer.from(bytes), release: () => undefined };
}

export interface ChunkBuffer {
  /** Copy bytes that are valid during the call only. */
  take(bytes: Uint8Array): void;
  /** Hand over what is gathered so far. */
  flush(): void;
}

/** Gather the bytes of one format for all its sinks. */
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
