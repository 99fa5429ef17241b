/**
 * The way out to one client: bytes in, the client's pace back, and a deadline without progress (promises P12, P13).
 */
import type { ServerResponse } from 'node:http';
import type { Writable } from 'node:stream';
import type { Context } from 'koa';
import type { Config } from '../config/config.ts';
import { DumperError } from '../errors.ts';
import { createEncoder, encodingFor, type Encoder, type Encoding } from './compression.ts';

export interface ResponseWriter {
  /** Bytes of the body so far, before any encoding. */
  readonly bytes: number;
  /** Encode all that is written from now on; before the first byte only. */
  encode(encoding: Encoding): void;
  /** `release` is called when nobody reads the bytes any more. */
  write(bytes: Uint8Array, release?: () => void): void;
  /**
   * Undefined when more may be written at once; rejects when the client leaves or takes nothing for too long.
   * `onProgress` hears of each part that the client took.
   */
  ready(onProgress?: () => void): Promise<void> | undefined;
  /** Resolves when the last byte was handed over; rejects as `ready` does. */
  end(): Promise<void>;
}

/** What is under way to the client at once: a deadline counts for so much, not for a row of any size. */
const underWayBytes = 256 * 1024;

interface Waiting {
  readonly bytes: Uint8Array;
  readonly release: (() => void) | undefined;
}

export function createResponseWriter(response: ServerResponse, stallSeconds: number): ResponseWriter {
  let bytes = 0;
  let encoder: Encoder | null = null;
  // Faults of a connection are told by `close`; without a listener the event would end the process.
  response.on('error', () => undefined);
  const until = (stream: Writable, event: 'drain' | 'finish'): Promise<void> =>
    waitFor(response, stream, event, stallSeconds);
  let waiting: Waiting[] = [];
  const pump = (isFree = false): void => {
    const room = (): boolean => response.writableLength + (encoder?.writableLength ?? 0) < underWayBytes;
    waiting = give(waiting, encoder ?? response, room, isFree);
  };
  const taken = (): Promise<void> | undefined => {
    if (response.writableNeedDrain) return until(response, 'drain');
    return encoder?.writableNeedDrain ? until(encoder, 'drain') : undefined;
  };
  const flow = async (onProgress?: () => void): Promise<void> => {
    for (;;) {
      await taken();
      onProgress?.();
      if (response.destroyed) throw left();
      if (waiting.length === 0) return;
      pump(true);
    }
  };
  return {
    get bytes() {
      return bytes;
    },
    encode: (encoding) => {
      encoder = encodeInto(response, encoding);
    },
    write: (chunk, release) => {
      const isFirst = bytes === 0;
      bytes += chunk.length;
      waiting.push({ bytes: chunk, release });
      pump();
      if (isFirst) encoder?.flush();
    },
    ready: (onProgress) => {
      if (response.destroyed) return Promise.reject(left());
      return waiting.length > 0 ? flow(onProgress) : taken();
    },
    end: async () => {
      if (response.destroyed) throw left();
      if (waiting.length > 0) await flow();
      const finished = until(response, 'finish');
      (encoder ?? response).end();
      await finished;
    },
  };
}

/** Give chunks in pieces while there is room, one at least where the sink is known to be free; returns what is left. */
function give(chunks: readonly Waiting[], sink: Writable, room: () => boolean, isFree: boolean): Waiting[] {
  let mayGive = isFree;
  for (const [index, { bytes, release }] of chunks.entries()) {
    for (let from = 0; from < bytes.length; from += underWayBytes) {
      if (!mayGive && !room()) return [{ bytes: bytes.subarray(from), release }, ...chunks.slice(index + 1)];
      const isLast = from + underWayBytes >= bytes.length;
      sink.write(bytes.subarray(from, from + underWayBytes), isLast ? release : undefined);
      mayGive = false;
    }
  }
  return [];
}

/** Before the first piece of an answer too large to be held: encode it where the caller and the settings want that. */
export function compressIfAccepted(wire: ResponseWriter, ctx: Context, { DUMPER_COMPRESS }: Config): void {
  const encoding = DUMPER_COMPRESS === 'on' ? encodingFor(ctx.get('Accept-Encoding')) : null;
  if (encoding === null) return;
  ctx.set('Content-Encoding', encoding);
  wire.encode(encoding);
}

/** An encoder whose output goes to the response at the response's pace, and which goes with it. */
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

function waitFor(
  response: ServerResponse,
  stream: Writable,
  event: 'drain' | 'finish',
  stallSeconds: number,
): Promise<void> {
  const { promise, resolve, reject } = Promise.withResolvers<void>();
  const onClose = (): void => reject(left());
  const timer = setTimeout(() => {
    reject(new DumperError('COPY_STALLED', `the client took nothing for ${stallSeconds} seconds`));
  }, stallSeconds * 1000);
  stream.once(event, resolve);
  response.once('close', onClose);
  return promise.finally(() => {
    clearTimeout(timer);
    stream.removeListener(event, resolve);
    response.removeListener('close', onClose);
  });
}

function left(): DumperError {
  return new DumperError('ABORTED', 'the client left');
}
