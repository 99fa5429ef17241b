/**
 * One instant of one table, for publications and live answers alike: a REPEATABLE READ, READ ONLY transaction that holds
 * the table's ACCESS SHARE lock before its first query (P3, all formats show one instant).
 *
 * The lock comes first because TRUNCATE, table rewrites and DROP are not MVCC-safe for a snapshot taken before them
 * (Postgres manual, "Caveats" of chapter MVCC); LOCK itself takes no snapshot. The wait is bounded.
 */
import type pg from 'pg';
import { withTimeout } from '../async/timeout.ts';
import { readColumns, type CatalogueColumn } from '../postgres/catalogue.ts';
import { DumperError, errorMessage } from '../errors.ts';
import { isUnavailable, type PoolClient, type Queryable } from '../postgres/pool.ts';
import { settledState, tableState, type TableState } from '../postgres/revision.ts';
import { quoteIdentifier, type ResourceId } from '../postgres/table.ts';
import { scanSettings } from './selection.ts';

export interface Snapshot {
  readonly client: PoolClient;
  readonly columns: readonly CatalogueColumn[];
  /** Wait for Postgres's answer, `stallSeconds` at most; a COPY has its own deadline. */
  readonly answered: <Answer>(asking: Promise<Answer>) => Promise<Answer>;
}

/** A snapshot with the revision of the table that it shows. */
export interface RevisionSnapshot extends Snapshot {
  readonly state: TableState;
}

interface SnapshotOptions {
  readonly lockSeconds: number;
  /** Longest wait for each answer of Postgres, beside the lock. */
  readonly stallSeconds: number;
  readonly signal: AbortSignal;
  /** A view takes no lock: the tables below it are read as they are. */
  readonly isView?: boolean;
  /** Asked on the same connection before the transaction begins. */
  readonly beforeBegin?: (client: PoolClient) => Promise<void>;
}

/**
 * Run `work` in a snapshot of the table; null when there is no such table. The connection goes back to the pool only
 * after a clean end. Otherwise it is destroyed, so that its backend ends and frees the snapshot.
 */
export async function withSnapshot<Result>(
  pool: pg.Pool,
  id: ResourceId,
  options: SnapshotOptions,
  work: (snapshot: Snapshot) => Promise<Result>,
): Promise<Result | null> {
  const { lockSeconds, stallSeconds, signal } = options;
  signal.throwIfAborted();
  const client = await connect(pool);
  const answered = <Answer>(asking: Promise<Answer>): Promise<Answer> =>
    withDeadline(asking, stallSeconds, signal);
  let clean = false;
  try {
    const columns = await withDeadline(open(client, id, options), lockSeconds + stallSeconds, signal);
    const result = columns === null ? null : await work({ client, columns, answered });
    await answered(client.query('COMMIT'));
    clean = true;
    return result;
  } finally {
    client.release(!clean);
  }
}

/** The same with the table's revision, which a publication puts into its manifest. */
export async function withRevisionSnapshot<Result>(
  pool: pg.Pool,
  id: ResourceId,
  options: Omit<SnapshotOptions, 'isView' | 'beforeBegin'>,
  work: (snapshot: RevisionSnapshot) => Promise<Result>,
): Promise<Result | null> {
  let before: TableState | null = null;
  const beforeBegin = async (client: PoolClient): Promise<void> => {
    before = await tableState(client, id);
  };
  return withSnapshot(pool, id, { ...options, beforeBegin }, async (snapshot) => {
    const inside = await snapshot.answered(tableState(snapshot.client, id));
    return inside === null ? null : work({ ...snapshot, state: settledState(before, inside) });
  });
}

/** Set values for the rest of the transaction. A SELECT takes the snapshot, so the lock must be held already. */
export async function setLocal(client: Queryable, settings: typeof scanSettings): Promise<void> {
  await client.query(
    'SELECT set_config(name, value, true) FROM unnest($1::text[], $2::text[]) AS given(name, value)',
    [settings.map(({ name }) => name), settings.map(({ value }) => value)],
  );
}

/** A silent connection reports no error: without a deadline it would keep the slot, and the process from its end. */
function withDeadline<Answer>(
  asking: Promise<Answer>,
  seconds: number,
  signal: AbortSignal,
): Promise<Answer> {
  return withTimeout(asking, {
    milliseconds: seconds * 1000,
    signal,
    onTimeout: () =>
      new DumperError('POSTGRES_UNAVAILABLE', `Postgres did not answer for ${seconds} seconds`),
    onAbort: () => new DumperError('ABORTED', 'the snapshot was given up', { cause: signal.reason }),
  });
}

async function connect(pool: pg.Pool): Promise<PoolClient> {
  try {
    return await pool.connect();
  } catch (error) {
    throw new DumperError(
      'POSTGRES_UNAVAILABLE',
      `the DataStore database cannot be asked: ${errorMessage(error)}`,
      { cause: error },
    );
  }
}

async function open(
  client: PoolClient,
  id: ResourceId,
  { lockSeconds, isView, beforeBegin }: SnapshotOptions,
): Promise<readonly CatalogueColumn[] | null> {
  await beforeBegin?.(client);
  await client.query('BEGIN ISOLATION LEVEL REPEATABLE READ, READ ONLY');
  await client.query(`SET LOCAL lock_timeout = ${lockSeconds * 1000}`);
  if (isView !== true && !(await lockTable(client, id))) return null;
  await setLocal(client, scanSettings);
  return readColumns(client, id);
}

/** False where the table does not exist (any more); the transaction is then over, and COMMIT merely ends it. */
async function lockTable(client: PoolClient, id: ResourceId): Promise<boolean> {
  try {
    await client.query(`LOCK TABLE public.${quoteIdentifier(id)} IN ACCESS SHARE MODE`);
    return true;
  } catch (error) {
    const code = (error as { code?: string }).code;
    if (code === '42P01') return false;
    if (code === '55P03') {
      const reason = 'the table was locked by another session for longer than the wait';
      throw new DumperError('TABLE_BUSY', reason, { cause: error });
    }
    if (!isUnavailable(error)) throw error;
    throw new DumperError('POSTGRES_UNAVAILABLE', `the connection was lost: ${errorMessage(error)}`, {
      cause: error,
    });
  }
}
