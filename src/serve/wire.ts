/**
 * The way out to one client: bytes in, the client's pace back, and a deadline without progress (promises P12, P13).
 *
 * Whatever encodes the body on its way (compression) belongs here, between `write` and the response.
 */
import type { ServerResponse } from 'node:http';
import { DumperError } from '../errors.ts';

export interface Wire {
  /** Bytes given to the client's connection so far. */
  readonly bytes: number;
  write(bytes: Uint8Array): void;
  /** Undefined when more may be written at once; rejects when the client leaves or takes nothing for too long. */
  ready(): Promise<void> | undefined;
  /** Resolves when the last byte was handed over; rejects as `ready` does. */
  end(): Promise<void>;
}

export function createWire(response: ServerResponse, stallSeconds: number): Wire {
  let bytes = 0;
  // Faults of a connection are told by `close`; without a listener the event would end the process.
  response.on('error', () => undefined);
  const until = (event: 'drain' | 'finish'): Promise<void> => waitFor(response, event, stallSeconds);
  return {
    get bytes() {
      return bytes;
    },
    write: (chunk) => {
      bytes += chunk.length;
      response.write(chunk);
    },
    ready: () => {
      if (response.destroyed) return Promise.reject(left());
      return response.writableNeedDrain ? until('drain') : undefined;
    },
    end: () => {
      if (response.destroyed) return Promise.reject(left());
      const finished = until('finish');
      response.end();
      return finished;
    },
  };
}

function waitFor(response: ServerResponse, event: 'drain' | 'finish', stallSeconds: number): Promise<void> {
  const { promise, resolve, reject } = Promise.withResolvers<void>();
  const onClose = (): void => reject(left());
  const timer = setTimeout(() => {
    reject(new DumperError('COPY_STALLED', `the client took nothing for ${stallSeconds} seconds`));
  }, stallSeconds * 1000);
  response.once(event, resolve);
  response.once('close', onClose);
  return promise.finally(() => {
    clearTimeout(timer);
    response.removeListener(event, resolve);
    response.removeListener('close', onClose);
  });
}

function left(): DumperError {
  return new DumperError('ABORTED', 'the client left');
}
