/**
 * A client that reads an answer as slowly as it likes, by a bare socket: what a stalled browser or a crawler on a bad
 * line is to the service. It tells apart an answer that is whole from one that broke off, by HTTP/1.0 and 1.1.
 */
import { connect, type Socket } from 'node:net';
import { setTimeout as delay } from 'node:timers/promises';

export interface SlowClientOptions {
  readonly method?: string;
  readonly headers?: Readonly<Record<string, string>>;
  readonly httpVersion?: '1.0' | '1.1';
  /** Bytes a second; 0 reads nothing until `resume`. Without it: as fast as they come. */
  readonly bytesPerSecond?: number;
}

export type Ended =
  /** The answer was complete by HTTP's own rules (length, last chunk, or an orderly close without either). */
  | { readonly kind: 'whole'; readonly bytes: number }
  | { readonly kind: 'broken'; readonly bytes: number; readonly reason: string };

export interface SlowClient {
  /** Bytes read so far, head included. */
  readonly bytes: number;
  /** Head and body as read so far, latin1. */
  text(): string;
  /** Status of the answer, once its head was read. */
  readonly status: number | null;
  readonly ended: Promise<Ended>;
  /** From now on: as fast as they come. */
  resume(): void;
  /** Go away without a word (RST). */
  leave(): void;
}

/** Send one request to `url` (http only) and begin to read. */
export function startSlowClient(url: string, options: SlowClientOptions = {}): SlowClient {
  const { hostname, port, pathname, search, host } = new URL(url);
  const socket = connect({ host: hostname, port: Number(port || 80), noDelay: true });
  const chunks: Buffer[] = [];
  const state = { bytes: 0, rate: options.bytesPerSecond ?? Infinity, error: null as Error | null };
  const resumed = Promise.withResolvers<void>();
  const fields = { host, connection: 'close', ...options.headers };
  const head = Object.entries(fields).map(([name, value]) => `${name}: ${value}\r\n`);
  const line = `${options.method ?? 'GET'} ${pathname}${search} HTTP/${options.httpVersion ?? '1.1'}\r\n`;
  socket.on('error', (error) => {
    state.error = error;
  });
  socket.write(`${line}${head.join('')}\r\n`);
  const text = (): string => Buffer.concat(chunks).toString('latin1');
  const read = (chunk: Buffer): void => {
    chunks.push(chunk);
    state.bytes += chunk.length;
  };
  return {
    get bytes() {
      return state.bytes;
    },
    text,
    get status() {
      const match = /^HTTP\/1\.[01] (\d{3})/.exec(chunks[0]?.toString('latin1') ?? '');
      return match ? Number(match[1]) : null;
    },
    ended: pace(socket, state, resumed.promise, read).then(() => judge(text(), state.error)),
    resume: () => {
      state.rate = Infinity;
      resumed.resolve();
    },
    leave: () => void socket.resetAndDestroy(),
  };
}

async function pace(
  socket: Socket,
  state: { rate: number },
  resumed: Promise<void>,
  read: (chunk: Buffer) => void,
): Promise<void> {
  const closed = new Promise<void>((resolve) => socket.once('close', () => resolve()));
  if (state.rate === Infinity) socket.on('data', read);
  else socket.pause();
  while (!socket.closed && state.rate !== Infinity) {
    if (state.rate === 0) {
      await Promise.race([resumed, closed]);
      continue;
    }
    await Promise.race([delay(50), resumed, closed]);
    const chunk = socket.read(Math.max(1, Math.floor(state.rate / 20))) as Buffer | null;
    if (chunk !== null) read(chunk);
  }
  if (!socket.closed && socket.listenerCount('data') === 0) socket.on('data', read).resume();
  await closed;
}

/** RFC 9112, section 6.3 and 8: is the message complete? */
function judge(text: string, error: Error | null): Ended {
  const bytes = text.length;
  const broken = (reason: string): Ended => ({ kind: 'broken', bytes, reason });
  if (error !== null) return broken(error.message);
  const end = text.indexOf('\r\n\r\n');
  if (end === -1) return broken('no head');
  const [head, body] = [text.slice(0, end), text.slice(end + 4)];
  const length = /^content-length: *(\d+)/im.exec(head)?.[1];
  if (/^transfer-encoding: *chunked/im.test(head)) {
    return body.endsWith('0\r\n\r\n') ? { kind: 'whole', bytes } : broken('no last chunk');
  }
  if (length !== undefined && body.length < Number(length)) return broken('shorter than its length');
  return { kind: 'whole', bytes };
}
