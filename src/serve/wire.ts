/**
 * The way out to one client: bytes in, the client's pace back, and a deadline without progress (promises P12, P13).
 */
import type { ServerResponse } from 'node:http';
import type { Writable } from 'node:stream';
import type { Context } from 'koa';
import type { Config } from '../config.ts';
import { DumperError } from '../errors.ts';
import { createEncoder, encodingFor, type Encoder, type Encoding } from './encoding.ts';

export interface Wire {
  /** Bytes of the body so far, before any encoding. */
  readonly bytes: number;
  /** Encode all that is written from now on; before the first byte only. */
  encode(encoding: Encoding): void;
  write(bytes: Uint8Array): void;
  /** Undefined when more may be written at once; rejects when the client leaves or takes nothing for too long. */
  ready(): Promise<void> | undefined;
  /** Resolves when the last byte was handed over; rejects as `ready` does. */
  end(): Promise<void>;
}

export function createWire(response: ServerResponse, stallSeconds: number): Wire {
  let bytes = 0;
  let encoder: Encoder | null = null;
  // Faults of a connection are told by `close`; without a listener the event would end the process.
  response.on('error', () => undefined);
  const until = (stream: Writable, event: 'drain' | 'finish'): Promise<void> =>
    waitFor(response, stream, event, stallSeconds);
  return {
    get bytes() {
      return bytes;
    },
    encode: (encoding) => {
      encoder = encodeInto(response, encoding);
    },
    write: (chunk) => {
      const isFirst = bytes === 0;
      bytes += chunk.length;
      (encoder ?? response).write(chunk);
      if (isFirst) encoder?.flush();
    },
    ready: () => {
      if (response.destroyed) return Promise.reject(left());
      if (response.writableNeedDrain) return until(response, 'drain');
      return encoder?.writableNeedDrain ? until(encoder, 'drain') : undefined;
    },
    end: () => {
      if (response.destroyed) return Promise.reject(left());
      const finished = until(response, 'finish');
      (encoder ?? response).end();
      return finished;
    },
  };
}

/** Before the first piece of an answer too large to be held: encode it where the caller and the settings want that. */
export function encodeAsWanted(wire: Wire, ctx: Context, { DUMPER_COMPRESS }: Config): void {
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
