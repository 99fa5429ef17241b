/** A client that shows what the connection did: it reads on demand, and says how the connection ended. */
import { connect, type Socket } from 'node:net';

export interface WireClient {
  readonly socket: Socket;
  /** Everything received so far, head included. */
  received(): Buffer;
  /** How the connection ended: an orderly close, or a reset. */
  readonly ended: Promise<'closed' | 'reset'>;
}

export interface WireRequest {
  readonly port: number;
  readonly path: string;
  readonly http?: '1.0' | '1.1';
  readonly headers?: Readonly<Record<string, string>>;
  /** Do not read the answer. */
  readonly paused?: boolean;
  readonly onData?: (socket: Socket, received: number) => void;
}

export function openClient({
  port,
  path,
  http = '1.1',
  headers = {},
  paused = false,
  onData,
}: WireRequest): WireClient {
  const chunks: Buffer[] = [];
  let bytes = 0;
  const socket = connect({ port, host: '127.0.0.1' });
  const { promise, resolve } = Promise.withResolvers<'closed' | 'reset'>();
  socket.on('error', () => resolve('reset'));
  socket.on('close', () => resolve('closed'));
  if (!paused) {
    socket.on('data', (chunk) => {
      chunks.push(chunk);
      bytes += chunk.length;
      onData?.(socket, bytes);
    });
  }
  const lines = Object.entries({ host: '127.0.0.1', connection: 'close', ...headers }).map((pair) =>
    pair.join(': '),
  );
  socket.write(`GET ${path} HTTP/${http}\r\n${lines.join('\r\n')}\r\n\r\n`);
  return { socket, received: () => Buffer.concat(chunks), ended: promise };
}
