/**
 * Writing a body to one client: at the client's pace, with a deadline without progress, compressed where that is wanted,
 * and with a visible end when the client leaves or we break off.
 *
 * A client that goes away frees what its answer holds (P12), and one that takes nothing holds nothing beyond the deadline
 * (P13, slow clients exhaust nothing). Breaking off resets the socket: an HTTP/1.0 client (nginx talks to upstreams so by
 * default) takes an orderly close for the end of the body (P19, breaks are visible).
 */
import type { IncomingMessage, ServerResponse } from 'node:http';
import type { Writable } from 'node:stream';
import { constants, createGzip, createZstdCompress, type Gzip, type ZstdCompress } from 'node:zlib';
import { withTimeout } from '../async/timeout.ts';
import { DumperError } from '../errors.ts';

export interface ResponseWriter {
  /** Bytes of the body so far, before any compression. */
  readonly bytes: number;
  /**
   * Before the first byte only: compress all that is written from now on by the best encoding that `Accept-Encoding`
   * allows, and return it; null: the bytes as they are.
   */
  compressFor(acceptEncoding: string): Encoding | null;
  /** `release` is called when nobody reads the bytes any more. */
  write(bytes: Uint8Array, release?: () => void): void;
  /**
   * Undefined when more may be written at once; rejects when the client leaves or takes nothing for too long.
   * `onProgress` is called after each part that the client took.
   */
  ready(onProgress?: () => void): Promise<void> | undefined;
  /** Resolves when the last byte was handed over; rejects as `ready` does. */
  end(): Promise<void>;
}

/** What is under way to the client at once: a deadline counts for so much, not for a row of any size. */
const inFlightBytes = 256 * 1024;

interface WaitingChunk {
  readonly bytes: Uint8Array;
  readonly release: (() => void) | undefined;
}

export function createResponseWriter(response: ServerResponse, stallSeconds: number): ResponseWriter {
  let bytes = 0;
  let encoder: Encoder | null = null;
  // Faults of a connection show as `close`; without a listener the event would end the process.
  response.on('error', () => undefined);
  const until = (stream: Writable, event: 'drain' | 'finish'): Promise<void> =>
    waitFor(response, stream, event, stallSeconds);
  let waiting: WaitingChunk[] = [];
  const pump = (isFree = false): void => {
    const hasRoom = (): boolean => response.writableLength + (encoder?.writableLength ?? 0) < inFlightBytes;
    waiting = writePieces(waiting, encoder ?? response, hasRoom, isFree);
  };
  const drained = (): Promise<void> | undefined => {
    if (response.writableNeedDrain) return until(response, 'drain');
    return encoder?.writableNeedDrain ? until(encoder, 'drain') : undefined;
  };
  const flush = async (onProgress?: () => void): Promise<void> => {
    for (;;) {
      await drained();
      onProgress?.();
      if (response.destroyed) throw clientLeft();
      if (waiting.length === 0) return;
      pump(true);
    }
  };
  return {
    get bytes() {
      return bytes;
    },
    compressFor: (acceptEncoding) => {
      const encoding = encodingFor(acceptEncoding);
      if (encoding !== null) encoder = encodeInto(response, encoding);
      return encoding;
    },
    write: (chunk, release) => {
      const isFirst = bytes === 0;
      bytes += chunk.length;
      waiting.push({ bytes: chunk, release });
      pump();
      if (isFirst) encoder?.flush();
    },
    ready: (onProgress) => {
      if (response.destroyed) return Promise.reject(clientLeft());
      return waiting.length > 0 ? flush(onProgress) : drained();
    },
    end: async () => {
      if (response.destroyed) throw clientLeft();
      if (waiting.length > 0) await flush();
      const finished = until(response, 'finish');
      (encoder ?? response).end();
      await finished;
    },
  };
}

/** Write chunks in pieces while there is room, at least one where the sink is known to be free; returns the rest. */
function writePieces(
  chunks: readonly WaitingChunk[],
  sink: Writable,
  hasRoom: () => boolean,
  isFree: boolean,
): WaitingChunk[] {
  let mayWrite = isFree;
  for (const [index, { bytes, release }] of chunks.entries()) {
    for (let from = 0; from < bytes.length; from += inFlightBytes) {
      if (!mayWrite && !hasRoom())
        return [{ bytes: bytes.subarray(from), release }, ...chunks.slice(index + 1)];
      const isLast = from + inFlightBytes >= bytes.length;
      sink.write(bytes.subarray(from, from + inFlightBytes), isLast ? release : undefined);
      mayWrite = false;
    }
  }
  return [];
}

async function waitFor(
  response: ServerResponse,
  stream: Writable,
  event: 'drain' | 'finish',
  stallSeconds: number,
): Promise<void> {
  const { promise, resolve, reject } = Promise.withResolvers<void>();
  const onClose = (): void => reject(clientLeft());
  stream.once(event, resolve);
  response.once('close', onClose);
  try {
    await withTimeout(promise, {
      milliseconds: stallSeconds * 1000,
      onTimeout: () => new DumperError('COPY_STALLED', `the client took nothing for ${stallSeconds} seconds`),
    });
  } finally {
    stream.removeListener(event, resolve);
    response.removeListener('close', onClose);
  }
}

function clientLeft(): DumperError {
  return new DumperError('ABORTED', 'the client left');
}

/** Aborts when the connection is gone before the answer was handed over. */
export function clientAbortSignal(response: ServerResponse): AbortSignal {
  const controller = new AbortController();
  response.once('close', () => {
    if (!response.writableFinished) controller.abort(new Error('the client left'));
  });
  if (response.destroyed) controller.abort(new Error('the client left'));
  return controller.signal;
}

/** Break the answer off so that every client sees it. */
export function resetSocket(request: IncomingMessage): void {
  request.socket.resetAndDestroy();
}

// Compression, where the caller accepts it: zstd at level 3, else gzip at level 1, the levels
// that pay. The first piece is flushed at once, so that the first byte waits for nothing; the work is done on Node's
// thread pool. Without the compression the bytes are CKAN's all the same (P22, byte parity with CKAN).

type Encoding = 'zstd' | 'gzip';
type Encoder = Gzip | ZstdCompress;

/** The best that `Accept-Encoding` names with a weight above zero; null: the bytes as they are. */
export function encodingFor(acceptEncoding: string): Encoding | null {
  const weights = new Map(
    acceptEncoding.split(',').map((part) => {
      const [name = '', ...parameters] = part
        .toLowerCase()
        .split(';')
        .map((piece) => piece.trim());
      const weight = parameters.find((parameter) => parameter.startsWith('q='))?.slice(2);
      return [name, weight === undefined ? 1 : Number(weight)] as const;
    }),
  );
  const isAccepted = (name: Encoding): boolean => (weights.get(name) ?? 0) > 0;
  if (isAccepted('zstd')) return 'zstd';
  return isAccepted('gzip') ? 'gzip' : null;
}

/** An encoder whose output goes to the response at the response's pace, and which ends with it. */
function encodeInto(response: ServerResponse, encoding: Encoding): Encoder {
  const encoder = createEncoder(encoding);
  encoder.on('data', (chunk: Buffer) => {
    if (response.write(chunk)) return;
    encoder.pause();
    response.once('drain', () => encoder.resume());
  });
  encoder.once('end', () => response.end());
  encoder.on('error', () => response.destroy());
  response.once('close', () => encoder.destroy());
  return encoder;
}

function createEncoder(encoding: Encoding): Encoder {
  if (encoding === 'gzip') return createGzip({ level: 1, chunkSize: 64 * 1024 });
  return createZstdCompress({
    chunkSize: 64 * 1024,
    params: { [constants.ZSTD_c_compressionLevel]: 3 },
  });
}
