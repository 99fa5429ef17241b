/**
 * One instant of one table: a REPEATABLE READ, READ ONLY transaction that holds the table's ACCESS SHARE lock before
 * its first query (promise P3).
 *
 * The lock comes first because TRUNCATE, table rewrites and DROP are not MVCC-safe for a snapshot taken before them
 * (Postgres manual, "Caveats" of chapter MVCC); LOCK itself takes no snapshot. The wait is bounded.
 */
import type pg from 'pg';
import { readColumns, type CatalogueColumn } from '../postgres/catalogue.ts';
import { DumperError, errorMessage } from '../errors.ts';
import { isUnavailable, type PoolClient } from '../postgres/pool.ts';
import { settledState, tableState, type TableState } from '../postgres/revision.ts';
import { quoteIdentifier, type ResourceId } from '../postgres/table.ts';
import { scanSettings } from './selection.ts';

export interface Snapshot {
  readonly client: PoolClient;
  readonly state: TableState;
  readonly columns: readonly CatalogueColumn[];
}

export interface SnapshotOptions {
  readonly lockSeconds: number;
  /** Longest wait for Postgres's answers before and after the work, beside the lock. */
  readonly stallSeconds: number;
  readonly signal: AbortSignal;
}

/**
 * Run `work` in a snapshot of the table; null when there is no such table. The connection goes back to the pool only
 * after a clean end, else it is destroyed with its backend.
 */
export async function withSnapshot<Result>(
  pool: pg.Pool,
  id: ResourceId,
  options: SnapshotOptions,
  work: (snapshot: Snapshot) => Promise<Result>,
): Promise<Result | null> {
  options.signal.throwIfAborted();
  const client = await connect(pool);
  let clean = false;
  try {
    const { lockSeconds, stallSeconds, signal } = options;
    const snapshot = await answered(open(client, id, lockSeconds), lockSeconds + stallSeconds, signal);
    const result = snapshot === null ? null : await work(snapshot);
    await answered(client.query('COMMIT'), stallSeconds, signal);
    clean = true;
    return result;
  } finally {
    client.release(!clean);
  }
}

/** A link that fell silent tells no error: without a deadline it would keep the slot, and the process from its end. */
async function answered<Answer>(
  asking: Promise<Answer>,
  seconds: number,
  signal: AbortSignal,
): Promise<Answer> {
  const { promise: given, reject } = Promise.withResolvers<never>();
  const onAbort = (): void =>
    reject(new DumperError('ABORTED', 'the snapshot was given up', { cause: signal.reason }));
  const timer = setTimeout(
    () => reject(new DumperError('POSTGRES_UNAVAILABLE', `Postgres did not answer for ${seconds} seconds`)),
    seconds * 1000,
  );
  signal.addEventListener('abort', onAbort, { once: true });
  try {
    return await Promise.race([asking, given]);
  } finally {
    clearTimeout(timer);
    signal.removeEventListener('abort', onAbort);
  }
}

async function connect(pool: pg.Pool): Promise<PoolClient> {
  try {
    return await pool.connect();
  } catch (error) {
    throw new DumperError(
      'POSTGRES_UNAVAILABLE',
      `the DataStore database cannot be asked: ${errorMessage(error)}`,
      {
        cause: error,
      },
    );
  }
}

async function open(client: PoolClient, id: ResourceId, lockSeconds: number): Promise<Snapshot | null> {
  const before = await tableState(client, id);
  await client.query('BEGIN ISOLATION LEVEL REPEATABLE READ, READ ONLY');
  await client.query(`SET LOCAL lock_timeout = ${lockSeconds * 1000}`);
  if (!(await lockTable(client, id))) return null;
  // A SELECT takes the snapshot: not before the lock.
  for (const { name, value } of scanSettings) {
    await client.query('SELECT set_config($1, $2, true)', [name, value]);
  }
  const state = await tableState(client, id);
  if (state === null) return null;
  return { client, state: settledState(before, state), columns: await readColumns(client, id) };
}

/** False where the table does not exist (any more); the transaction is then over, and COMMIT merely ends it. */
export async function lockTable(client: PoolClient, id: ResourceId): Promise<boolean> {
  try {
    await client.query(`LOCK TABLE public.${quoteIdentifier(id)} IN ACCESS SHARE MODE`);
    return true;
  } catch (error) {
    const code = (error as { code?: string }).code;
    if (code === '42P01') return false;
    if (code === '55P03') {
      throw new DumperError(
        'TABLE_BUSY',
        'the table is locked by another session; it was waited for in vain',
        {
          cause: error,
        },
      );
    }
    if (!isUnavailable(error)) throw error;
    throw new DumperError('POSTGRES_UNAVAILABLE', `the connection was lost: ${errorMessage(error)}`, {
      cause: error,
    });
  }
}
