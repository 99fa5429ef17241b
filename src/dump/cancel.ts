/**
 * The end of a query that nobody waits for any more: Postgres is asked to cancel it (promise P12, clients that leave free
 * their backend). A connection that merely closes is not noticed while Postgres sorts: the backend would go on for as long.
 */
import type { Socket } from 'node:net';
import pg from 'pg';
import { withTimeout } from '../async/timeout.ts';
import { DumperError } from '../errors.ts';
import type { PoolClient } from '../postgres/pool.ts';
import { tapSocket } from '../postgres/socket.ts';

/** The parts of the driver's client that @types/pg does not name (pg 8, `lib/client.js`). */
interface DriverClient {
  readonly connection: { readonly stream: Socket };
  readonly processID: number | null;
  readonly secretKey: number | null;
  readonly host: string;
  readonly port: number;
  readonly ssl: pg.ConnectionConfig['ssl'];
  /** What runs now; its public name is deprecated, and warns. */
  readonly ['_activeQuery']: object | null;
}

/** A connection that asks for a cancellation and nothing else (pg 8, `lib/connection.js`). */
interface CancelConnection {
  readonly stream: Socket;
  connect(port: number | string, host?: string): void;
  requestSsl(): void;
  cancel(processID: number, secretKey: number): void;
  on(event: 'connect' | 'sslconnect' | 'end' | 'error', listener: () => void): void;
}

/** A link that is silent answers neither. */
const mostSeconds = 2;

/**
 * Cancel what the client runs and wait until the backend is idle, a few seconds at most. The client is of no use
 * afterwards: its owner destroys it. Never rejects: a backend that was not reached ends when its connection closes.
 */
export async function cancelQuery(client: PoolClient): Promise<void> {
  const driver = client as unknown as DriverClient;
  const { stream } = driver.connection;
  if (stream.destroyed || driver.processID === null || driver['_activeQuery'] === null) return;
  const idle = untilIdle(stream);
  const request = openRequest(driver);
  const onTimeout = (): Error => new DumperError('POSTGRES_UNAVAILABLE', 'Postgres did not cancel in time');
  try {
    await withTimeout(Promise.all([request.sent, idle]), { milliseconds: mostSeconds * 1000, onTimeout });
  } catch {
    // The caller closes the connection in any case.
  } finally {
    request.close();
  }
}

/** Postgres closes the connection once it has passed the request on (Postgres manual, "Canceling Requests in Progress"). */
function openRequest({ host, port, ssl, processID, secretKey }: DriverClient): {
  readonly sent: Promise<void>;
  close(): void;
} {
  const { promise: sent, resolve, reject } = Promise.withResolvers<void>();
  const connection = new pg.Connection({ ssl } as pg.ConnectionConfig) as unknown as CancelConnection;
  const send = (): void => connection.cancel(processID ?? 0, secretKey ?? 0);
  connection.on('connect', () => (ssl ? connection.requestSsl() : send()));
  connection.on('sslconnect', send);
  connection.on('end', resolve);
  connection.on('error', () =>
    reject(new DumperError('POSTGRES_UNAVAILABLE', 'the cancellation was not sent')),
  );
  if (host.startsWith('/')) connection.connect(`${host}/.s.PGSQL.${port}`);
  else connection.connect(port, host);
  return { sent, close: () => connection.stream.destroy() };
}

/** `ReadyForQuery` without its last byte, the state of the transaction. */
const readyForQuery = Buffer.from([0x5a, 0, 0, 0, 5]);
const messageBytes = readyForQuery.length + 1;

/** Drop all that still comes; resolves at the message that ends a query, or with the connection. */
function untilIdle(stream: Socket): Promise<void> {
  const { promise, resolve } = Promise.withResolvers<void>();
  let last = Buffer.alloc(0);
  tapSocket(stream, (bytes) => {
    last = Buffer.concat([last, bytes.subarray(-messageBytes)]).subarray(-messageBytes);
    if (last.length === messageBytes && last.subarray(0, -1).equals(readyForQuery)) resolve();
  });
  stream.once('close', resolve);
  stream.resume();
  return promise;
}
