/**
 * Connections to Postgres: pools by purpose, each with its name in `pg_stat_activity`, and the smallest interface that the
 * service needs. A connection whose COPY was aborted is destroyed, never returned: its backend would stay in ClientWrite
 * and keep its snapshot.
 */
import pg from 'pg';
import { DumperError, errorMessage } from '../errors.ts';
import { createSocket } from './socket.ts';

export type { PoolClient } from 'pg';

/** A pool or one client: anything that answers a query. A query with a name is prepared once per connection. */
export interface Queryable {
  query<Row extends pg.QueryResultRow>(
    query: string | pg.QueryConfig,
    values?: unknown[],
  ): Promise<pg.QueryResult<Row>>;
}

interface PoolOptions {
  readonly url: string;
  readonly applicationName: string;
  readonly size: number;
  readonly connectTimeoutSeconds?: number;
  /**
   * Longest wait for the answer to a query, whose connection is then destroyed; for pools without COPY. It is on our
   * side: a `statement_timeout` does nothing about a silent link, and pgbouncer refuses connections that set one.
   */
  readonly queryTimeoutSeconds?: number;
  /** Called for errors of idle connections; the pool replaces them by itself. */
  readonly onIdleError: (error: Error) => void;
}

export function createPool(options: PoolOptions): pg.Pool {
  const { queryTimeoutSeconds } = options;
  const pool = new pg.Pool({
    connectionString: options.url,
    application_name: options.applicationName,
    max: options.size,
    connectionTimeoutMillis: (options.connectTimeoutSeconds ?? 5) * 1000,
    idleTimeoutMillis: 30_000,
    allowExitOnIdle: true,
    keepAlive: true,
    stream: createSocket as () => ReturnType<typeof createSocket>,
    ...(queryTimeoutSeconds === undefined ? {} : { query_timeout: queryTimeoutSeconds * 1000 }),
  });
  pool.on('error', options.onIdleError);
  // A connection that is lost while it is in use, between two queries, rejects no promise: without a listener the error
  // would end the process. Its user learns of it from the next query.
  pool.on('connect', (client) => client.on('error', () => undefined));
  return pool;
}

/** SQLSTATE classes and driver faults that mean "not available now", not "wrong query". */
export function isUnavailable(error: unknown): boolean {
  if (!(error instanceof Error)) return false;
  const code = (error as { code?: unknown }).code;
  if (typeof code !== 'string') return /terminated|timeout|ended|closed|not queryable/i.test(error.message);
  return (
    /^(08|53|57P|57014|40001|28|3D)/.test(code) ||
    /^(ECONN|EPIPE|ETIMEDOUT|ENOTFOUND|EAI_|EHOST|ENET|ENOENT)/.test(code)
  );
}

/** Run `work`; connection faults become the catalogue's error for this database. */
export async function mapPostgresErrors<Result>(
  code: 'POSTGRES_UNAVAILABLE' | 'STATE_UNAVAILABLE',
  work: () => Promise<Result>,
): Promise<Result> {
  try {
    return await work();
  } catch (error) {
    if (!isUnavailable(error)) throw error;
    const name = code === 'POSTGRES_UNAVAILABLE' ? 'the DataStore database' : 'the state database';
    throw new DumperError(code, `${name} cannot be asked: ${errorMessage(error)}`, { cause: error });
  }
}

/** Run `work` in one transaction on one connection. If it fails, the connection is destroyed, which rolls back. */
export async function inTransaction<Result>(
  pool: pg.Pool,
  work: (client: pg.PoolClient) => Promise<Result>,
): Promise<Result> {
  const client = await pool.connect();
  let clean = false;
  try {
    await client.query('BEGIN');
    const result = await work(client);
    await client.query('COMMIT');
    clean = true;
    return result;
  } finally {
    client.release(!clean);
  }
}
