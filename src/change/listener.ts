/**
 * Listens to the change journal: one connection that LISTENs for as long as the service runs. Postgres notifies at
 * commit, so a table is queued within a second; the sweep finds changes that happen while the connection is down (P4:
 * nothing stale is called fresh).
 *
 * It never opens a transaction: a transaction that stayed open would fill the server's notification queue.
 */
import { setTimeout as delay } from 'node:timers/promises';
import { Client } from 'pg';
import { backoff } from '../async/retry.ts';
import { withTimeout } from '../async/timeout.ts';
import { DumperError, errorMessage } from '../errors.ts';
import type { Log } from '../log.ts';
import { changeChannel } from './journal.sql.ts';

interface ListenerOptions {
  readonly url: string;
  readonly log: Log;
  /** A table that changed, as its transaction named it. */
  readonly onChange: (name: string) => void;
  /** Listening began, perhaps once more: changes before this were not heard. */
  readonly onListening: () => void;
  readonly signal: AbortSignal;
  /** How often the connection is tested, in seconds; 15 unless given. */
  readonly probeSeconds?: number;
}

/** Listen until the signal aborts; resolves then, and never rejects. Reconnects with growing pauses up to 30 s. */
export async function listenForChanges(options: ListenerOptions): Promise<void> {
  const pauseAfter = backoff({ firstSeconds: 0.25, mostSeconds: 30 });
  let failures = 0;
  while (!options.signal.aborted) {
    const began = performance.now();
    const reason = await listenOnce(options).catch(errorMessage);
    if (options.signal.aborted) return;
    failures = performance.now() - began > 60_000 ? 1 : failures + 1;
    const pauseSeconds = pauseAfter(failures);
    options.log.warn({ reason, pauseSeconds }, 'not listening for changes; the next sweep finds them');
    await delay(pauseSeconds * 1000, undefined, { signal: options.signal }).catch(() => undefined);
  }
}

/** Listen by one connection; resolves with the reason of its end. */
async function listenOnce(options: ListenerOptions): Promise<string> {
  const client = new Client({
    connectionString: options.url,
    application_name: 'datastore-dumper listen',
    connectionTimeoutMillis: 10_000,
    query_timeout: 10_000,
    keepAlive: true,
  });
  const { promise: ended, resolve: end } = Promise.withResolvers<string>();
  client.on('error', (error) => end(errorMessage(error)));
  client.on('end', () => end('the connection ended'));
  client.on('notification', ({ payload }) => {
    if (payload) options.onChange(payload);
  });
  const stop = (): void => end('stopped');
  options.signal.addEventListener('abort', stop);
  let probe: NodeJS.Timeout | undefined;
  try {
    await client.connect();
    await client.query(`LISTEN ${changeChannel}`);
    options.onListening();
    probe = setInterval(
      () => {
        client.query('SELECT 1').catch((error: unknown) => end(errorMessage(error)));
      },
      (options.probeSeconds ?? 15) * 1000,
    ).unref();
    return await ended;
  } finally {
    clearInterval(probe);
    options.signal.removeEventListener('abort', stop);
    // on a dead link the polite end would never come
    const onTimeout = (): Error => new DumperError('POSTGRES_UNAVAILABLE', 'the connection does not end');
    await withTimeout(client.end(), { milliseconds: 2000, onTimeout }).catch(() => undefined);
  }
}
