/**
 * A COPY out of Postgres whose bytes go to the formatter as the socket delivers them: no message is framed, no row is
 * an object, and the reader's pace is Postgres's pace (promises P1, P12, P13).
 *
 * While the COPY runs, the driver's own listener is taken off the socket; it gets the stream back at the first message
 * that is not data (CopyDone or ErrorResponse) and ends the query as usual. The scan counts as whole only when
 * CommandComplete `COPY n` and ReadyForQuery have come: a connection that merely ends, however cleanly, is an error.
 */
import type { Socket } from 'node:net';
import type pg from 'pg';
import { DumperError, isDumperError, errorMessage } from '../errors.ts';
import type { PoolClient } from '../postgres/pool.ts';
import { tapSocket } from '../postgres/socket.ts';
import type { Sql } from '../postgres/table.ts';

export interface CopyOptions {
  /**
   * Takes backend bytes in any split; null, or the bytes from the first message that is neither CopyData nor
   * asynchronous. What it throws ends the COPY.
   */
  readonly onBytes: (chunk: Uint8Array) => Uint8Array | null;
  /**
   * Asked after each chunk; the socket rests until the promise resolves, and the COPY fails when it rejects. A reader
   * that takes a chunk in parts calls `progress` after each.
   */
  readonly whenReady?: (progress: () => void) => Promise<void> | undefined;
  readonly signal: AbortSignal;
  /** Longest wait for Postgres's next byte, and longest wait for the reader. */
  readonly stallSeconds: number;
}

/** The driver's parts that a COPY needs and @types/pg does not name (pg 8, `lib/connection.js`). */
interface Wire {
  readonly stream: Socket;
  query(text: string): void;
}

/** What the driver's queue asks of a query (pg 8, `lib/client.js`, as used by pg-cursor and pg-copy-streams). */
interface Submittable {
  submit(wire: Wire): void;
  handleError(error: Error): void;
  handleCommandComplete(message: { readonly text: string }): void;
  handleReadyForQuery(): void;
  handleRowDescription(): void;
  handleDataRow(): void;
  handleEmptyQuery(): void;
  handlePortalSuspended(): void;
  handleCopyInResponse(): void;
  handleCopyData(): void;
}

/**
 * Run `COPY … TO STDOUT` on an idle client and feed its bytes to `onBytes`. Resolves with the rows that Postgres says
 * it sent; `copyRows` compares them with those that were written.
 *
 * Rejects with `COPY_BROKEN` (the Postgres or socket error as cause), `COPY_STALLED`, `ABORTED`, or what `onBytes` or
 * `whenReady` threw. After a rejection the connection is destroyed already, so that its backend ends and frees its
 * snapshot; the caller must still `client.release(true)`.
 */
export async function copyOut(
  client: PoolClient,
  copy: Sql,
  options: CopyOptions,
): Promise<{ rows: number }> {
  if (options.signal.aborted) throw aborted(options.signal);
  const { promise, resolve, reject } = Promise.withResolvers<{ rows: number }>();
  const socket = (client as unknown as { connection: Wire }).connection.stream;
  const watch = watchProgress(options.stallSeconds, reject);
  const onAbort = (): void => reject(aborted(options.signal));
  // A connection that we destroy says so later, when nobody else listens: without this it would end the process.
  client.on('error', reject);
  options.signal.addEventListener('abort', onAbort, { once: true });
  try {
    client.query(copyQuery(socket, copy, options, watch, resolve, reject) as Submittable & pg.Submittable);
    const result = await promise;
    client.removeListener('error', reject);
    return result;
  } catch (error) {
    socket.destroy();
    throw named(error);
  } finally {
    watch.stop();
    options.signal.removeEventListener('abort', onAbort);
  }
}

/**
 * The same through a formatter, whose rows must be as many as Postgres sent: else the result is not whole (`COPY_BROKEN`).
 * Resolves with their number.
 */
export async function copyRows(
  client: PoolClient,
  copy: Sql,
  formatter: { readonly rows: number },
  options: CopyOptions,
): Promise<number> {
  const { rows } = await copyOut(client, copy, options);
  if (rows === formatter.rows) return rows;
  throw new DumperError('COPY_BROKEN', `Postgres sent ${rows} rows, ${formatter.rows} were written`);
}

function copyQuery(
  socket: Socket,
  copy: Sql,
  options: CopyOptions,
  watch: Watch,
  resolve: (result: { rows: number }) => void,
  reject: (error: unknown) => void,
): Submittable {
  let rows: number | null = null;
  return {
    submit(wire) {
      tap(socket, options, watch, reject);
      wire.query(copy);
    },
    handleCommandComplete({ text }) {
      const count = /^COPY (\d+)/.exec(text)?.[1];
      if (count !== undefined) rows = Number(count);
    },
    handleReadyForQuery() {
      if (rows === null) reject(new DumperError('COPY_BROKEN', 'the statement was no COPY'));
      else resolve({ rows });
    },
    handleError: reject,
    handleRowDescription: ignore,
    handleDataRow: ignore,
    handleEmptyQuery: ignore,
    handlePortalSuspended: ignore,
    handleCopyInResponse: () => reject(new DumperError('COPY_BROKEN', 'Postgres asks for data')),
    handleCopyData: ignore,
  };
}

function ignore(): void {}

/** Feed `onBytes` in the driver's place until it hands back the first foreign message. */
function tap(
  socket: Socket,
  { onBytes, whenReady, signal }: CopyOptions,
  watch: Watch,
  reject: (error: unknown) => void,
): void {
  const giveBack = tapSocket(socket, (bytes) => {
    if (signal.aborted || socket.destroyed) return;
    try {
      watch.progress('Postgres');
      const rest = onBytes(bytes);
      if (rest !== null) return giveBack(rest);
      const ready = whenReady?.(() => watch.progress('the reader'));
      if (ready !== undefined) hold(socket, ready, watch, reject);
    } catch (error) {
      reject(error);
      socket.destroy();
    }
  });
}

function hold(socket: Socket, ready: Promise<void>, watch: Watch, reject: (error: unknown) => void): void {
  socket.pause();
  watch.progress('the reader');
  ready.then(() => {
    watch.progress('Postgres');
    socket.resume();
  }, reject);
}

interface Watch {
  /** Something moved; from now on `who` is awaited. */
  progress(who: 'Postgres' | 'the reader'): void;
  stop(): void;
}

function watchProgress(stallSeconds: number, reject: (error: unknown) => void): Watch {
  let awaited: 'Postgres' | 'the reader' = 'Postgres';
  let stopped = false;
  const timer = setTimeout(() => {
    reject(new DumperError('COPY_STALLED', `${awaited} made no progress for ${stallSeconds} seconds`));
  }, stallSeconds * 1000);
  return {
    progress(who) {
      awaited = who;
      // A cleared timer would start again.
      if (!stopped) timer.refresh();
    },
    stop() {
      stopped = true;
      clearTimeout(timer);
    },
  };
}

function aborted(signal: AbortSignal): DumperError {
  return new DumperError('ABORTED', 'the COPY was given up', { cause: signal.reason });
}

function named(error: unknown): DumperError {
  if (isDumperError(error)) return error;
  return new DumperError('COPY_BROKEN', `the COPY broke off: ${errorMessage(error)}`, { cause: error });
}
