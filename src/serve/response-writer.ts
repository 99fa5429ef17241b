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
import { DumperError, isDumperError } from '../errors.ts';
import type { BreakCause } from './request-state.ts';

export interface ResponseWriter {
  /** Bytes of the body so far, before any compression. */
  readonly bytes: number;
  /** Bytes of the body, as they go out, that the client's side has taken: the kernel has them. */
  readonly takenBytes: number;
  /** How long we have waited for the client, in all. */
  readonly waitedMilliseconds: number;
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
  const kernel = sendTo(response);
  const waits = createStopwatch();
  // Faults of a connection show as `close`; without a listener the event would end the process.
  response.on('error', () => undefined);
  const until = (stream: Writable, event: 'drain' | 'finish'): Promise<void> =>
    waits.during(waitFor(response, stream, event, stallSeconds));
  const write: WritePiece = (piece, onSent) => {
    if (encoder === null) kernel.send(piece, onSent);
    else encoder.write(piece, onSent);
  };
  let waiting: WaitingChunk[] = [];
  const pump = (isFree = false): void => {
    const hasRoom = (): boolean => response.writableLength + (encoder?.writableLength ?? 0) < inFlightBytes;
    waiting = writePieces(waiting, write, hasRoom, isFree);
  };
  const drained = (): Promise<void> | undefined => {
    if (response.writableNeedDrain) return until(response, 'drain');
    return encoder?.writableNeedDrain ? until(encoder, 'drain') : undefined;
  };
  const hasMore = (): boolean => waiting.length > 0;
  const flush = (onProgress?: () => void): Promise<void> =>
    flushAll(response, { drained, hasMore, pump: () => pump(true) }, onProgress);
  return {
    get bytes() {
      return bytes;
    },
    get takenBytes() {
      return kernel.takenBytes();
    },
    get waitedMilliseconds() {
      return waits.milliseconds();
    },
    compressFor: (acceptEncoding) => {
      const encoding = encodingFor(acceptEncoding);
      if (encoding !== null) encoder = encodeInto(response, encoding, kernel.send);
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

interface Pumping {
  drained(): Promise<void> | undefined;
  hasMore(): boolean;
  pump(): void;
}

async function flushAll(
  response: ServerResponse,
  { drained, hasMore, pump }: Pumping,
  onProgress?: () => void,
): Promise<void> {
  for (;;) {
    await drained();
    onProgress?.();
    if (response.destroyed) throw clientLeft();
    if (!hasMore()) return;
    pump();
  }
}

/** Bytes count as taken when the kernel has them: the callback of their write then comes without an error. */
function sendTo(response: ServerResponse): {
  send(piece: Uint8Array, onSent?: () => void): boolean;
  takenBytes(): number;
} {
  let takenBytes = 0;
  return {
    takenBytes: () => takenBytes,
    send: (piece, onSent) =>
      response.write(piece, (error) => {
        if (!error) takenBytes += piece.length;
        onSent?.();
      }),
  };
}

/** The time that is spent in waits, one at a time. */
function createStopwatch(): {
  during(wait: Promise<void>): Promise<void>;
  milliseconds(): number;
} {
  let before = 0;
  let startedAt: number | null = null;
  const milliseconds = (): number => before + (startedAt === null ? 0 : performance.now() - startedAt);
  return {
    milliseconds,
    during: (wait) => {
      startedAt = performance.now();
      return wait.finally(() => {
        before = milliseconds();
        startedAt = null;
      });
    },
  };
}

/** `onSent` is called when nobody reads the piece any more. */
type WritePiece = (piece: Uint8Array, onSent: (() => void) | undefined) => void;

/** Write chunks in pieces while there is room, at least one where the sink is known to be free; returns the rest. */
function writePieces(
  chunks: readonly WaitingChunk[],
  write: WritePiece,
  hasRoom: () => boolean,
  isFree: boolean,
): WaitingChunk[] {
  let mayWrite = isFree;
  for (const [index, { bytes, release }] of chunks.entries()) {
    for (let from = 0; from < bytes.length; from += inFlightBytes) {
      if (!mayWrite && !hasRoom())
        return [{ bytes: bytes.subarray(from), release }, ...chunks.slice(index + 1)];
      const isLast = from + inFlightBytes >= bytes.length;
      write(bytes.subarray(from, from + inFlightBytes), isLast ? release : undefined);
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

/**
 * What broke an answer off, by the error that it ended with. `source`: where its bytes come from, which is the cause of
 * everything else.
 */
export function breakCauseOf(
  error: unknown,
  { client, ending, source }: { client: AbortSignal; ending: AbortSignal; source: 'postgres' | 'store' },
): BreakCause {
  if (client.aborted) return 'client';
  if (ending.aborted) return 'drain';
  const reason = abortReasonOf(error);
  if (isDumperError(reason, 'ABORTED')) return 'client';
  return isDumperError(reason, 'COPY_STALLED') ? 'stall' : source;
}

/** Why work was aborted, where it was; else the error itself. */
export function abortReasonOf(error: unknown): unknown {
  return isDumperError(error, 'ABORTED') && error.cause !== undefined ? error.cause : error;
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
function encodeInto(
  response: ServerResponse,
  encoding: Encoding,
  send: (piece: Uint8Array) => boolean,
): Encoder {
  const encoder = createEncoder(encoding);
  encoder.on('data', (chunk: Buffer) => {
    if (send(chunk)) return;
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
