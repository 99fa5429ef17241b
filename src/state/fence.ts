/**
 * The fence of a table: over all replicas, at most one worker publishes it at a time, and a worker that was paused, lost
 * its connection or was superseded cannot switch the manifest (P5, replicas never interleave).
 *
 * Each take gives the table a higher generation. The row names the holder, whose heartbeat keeps others away while its
 * lease lasts. All of it is rows and transactions: nothing depends on a session, so a transaction-pooling proxy does no harm.
 *
 * The switch happens inside a short transaction that holds the row's lock, so that another worker has to wait. A worker
 * that is paused at that moment keeps the lock, since its kernel keeps the connection alive; one whose machine is gone
 * loses it by TCP keepalive within half a minute. So the fence is right without conditional writes in the store. The
 * manifest's compare-and-swap is the second guard for one case: a machine that froze in the middle of a request for longer.
 * Even then nothing wrong is served, because a manifest counts only while its token equals the table's.
 */
import type pg from 'pg';
import { DumperError } from '../errors.ts';
import { inTransaction } from '../postgres/pool.ts';
import type { ResourceId } from '../postgres/table.ts';
import { statesAfter } from './publication-state.ts';

type SwitchResult<Value> = { readonly kind: 'done'; readonly value: Value } | { readonly kind: 'superseded' };

export interface Fence {
  /**
   * Take the table: with a generation above every earlier one and above `published`, the manifest's, so that none is
   * repeated after the state database was lost. Throws `SUPERSEDED` while another process holds it.
   */
  take(id: ResourceId, published: number): Promise<number>;
  /** Run `action` while nobody can take the fence; not at all where another worker took it since. */
  switchUnder<Value>(
    id: ResourceId,
    generation: number,
    action: () => Promise<Value>,
  ): Promise<SwitchResult<Value>>;
  /** How many rows the publication has written; stored with the next heartbeat. */
  progress(id: ResourceId, rows: number): void;
  /** Release it, whatever the outcome; others may take it at once. */
  release(id: ResourceId): Promise<void>;
  releaseAll(): Promise<void>;
}

/** What a publication needs of the fence to exclude older workers of the same table. */
export type PublishFence = Pick<Fence, 'take' | 'switchUnder'>;

/** A worker or a schedule's replica whose heartbeat is older than this has lost its lease, in seconds. */
export const defaultLeaseSeconds = 15;

export interface FenceOptions {
  readonly holder: string;
  readonly leaseSeconds: number;
  readonly onHeartbeatError: (error: Error) => void;
}

/** Longest wait for another worker's switch. */
const lockMilliseconds = 5000;
const switchLimits = `SET LOCAL lock_timeout = ${lockMilliseconds};
  SET LOCAL tcp_keepalives_idle = 10; SET LOCAL tcp_keepalives_interval = 5; SET LOCAL tcp_keepalives_count = 3;
  SET LOCAL idle_in_transaction_session_timeout = 120000`;

const take = `INSERT INTO dumper.publication AS p
    (id, generation, holder, beat_at, began_at, rows_done, life)
  VALUES ($1, $2::bigint + 1, $3, clock_timestamp(), clock_timestamp(), 0, $4::jsonb ->> 'absent')
  ON CONFLICT (id) DO UPDATE SET generation = greatest(p.generation, $2::bigint) + 1, holder = $3,
    beat_at = clock_timestamp(), began_at = clock_timestamp(), rows_done = 0, asked_since = NULL,
    life = $4::jsonb ->> p.life
  WHERE p.holder IS NULL OR p.holder = $3 OR p.beat_at < clock_timestamp() - make_interval(secs => $5)
  RETURNING generation`;

export function createFence(pool: pg.Pool, options: FenceOptions): Fence {
  /** Rows written so far, by table that this process holds. */
  const rowsDone = new Map<ResourceId, number>();
  const heartbeat = createHeartbeat(() => beat(pool, options, rowsDone), options);
  return {
    take: async (id, published) => {
      const generation = await takeFence(pool, id, published, options);
      rowsDone.set(id, 0);
      heartbeat.start();
      return generation;
    },
    switchUnder: (id, generation, action) => switchUnderFence(pool, id, generation, action),
    progress: (id, rows) => {
      if (rowsDone.has(id)) rowsDone.set(id, rows);
    },
    release: async (id) => {
      if (!rowsDone.delete(id)) return;
      if (rowsDone.size === 0) heartbeat.stop();
      await release(pool, options.holder, [id]);
    },
    releaseAll: async () => {
      heartbeat.stop();
      const ids = [...rowsDone.keys()];
      rowsDone.clear();
      if (ids.length > 0) await release(pool, options.holder, ids);
    },
  };
}

async function takeFence(
  pool: pg.Pool,
  id: ResourceId,
  published: number,
  options: FenceOptions,
): Promise<number> {
  const values = [
    id,
    published,
    options.holder,
    JSON.stringify(statesAfter('started')),
    options.leaseSeconds,
  ];
  const row = await inTransaction(pool, async (client) => {
    await client.query(`SET LOCAL lock_timeout = ${lockMilliseconds}`);
    const { rows } = await client.query<{ generation: string }>(take, values);
    return rows[0];
  }).catch(throwBusy);
  if (row === undefined) throw new DumperError('SUPERSEDED', 'another worker is publishing this table');
  return Number(row.generation);
}

function throwBusy(error: unknown): never {
  if ((error as { code?: unknown }).code !== '55P03') throw error;
  throw new DumperError('SUPERSEDED', 'another worker is switching this table', { cause: error });
}

async function switchUnderFence<Value>(
  pool: pg.Pool,
  id: ResourceId,
  generation: number,
  action: () => Promise<Value>,
): Promise<SwitchResult<Value>> {
  return inTransaction(pool, async (client): Promise<SwitchResult<Value>> => {
    await client.query(switchLimits);
    const { rows } = await client.query<{ generation: string }>(
      'SELECT generation FROM dumper.publication WHERE id = $1 FOR UPDATE',
      [id],
    );
    if (Number(rows[0]?.generation ?? -1) !== generation) return { kind: 'superseded' };
    const value = await action();
    await client.query('UPDATE dumper.publication SET published_generation = $2 WHERE id = $1', [
      id,
      generation,
    ]);
    return { kind: 'done', value };
  });
}

async function release(pool: pg.Pool, holder: string, ids: readonly ResourceId[]): Promise<void> {
  await pool.query('UPDATE dumper.publication SET holder = NULL WHERE id = ANY($1) AND holder = $2', [
    ids,
    holder,
  ]);
}

async function beat(
  pool: pg.Pool,
  { holder }: FenceOptions,
  rowsDone: ReadonlyMap<ResourceId, number>,
): Promise<void> {
  await pool.query(
    `UPDATE dumper.publication p SET beat_at = clock_timestamp(), rows_done = now.rows
     FROM unnest($1::text[], $2::bigint[]) AS now(id, rows) WHERE p.id = now.id AND p.holder = $3`,
    [[...rowsDone.keys()], [...rowsDone.values()], holder],
  );
}

/** Beats five times per lease while something is held; one beat at a time. */
export function createHeartbeat(
  once: () => Promise<void>,
  options: Pick<FenceOptions, 'leaseSeconds' | 'onHeartbeatError'>,
): { start(): void; stop(): void } {
  let timer: NodeJS.Timeout | undefined;
  let beating = false;
  const tick = (): void => {
    if (beating) return;
    beating = true;
    once()
      .catch(options.onHeartbeatError)
      .finally(() => {
        beating = false;
      });
  };
  return {
    start: () => {
      timer ??= setInterval(tick, (options.leaseSeconds * 1000) / 5).unref();
    },
    stop: () => {
      clearInterval(timer);
      timer = undefined;
    },
  };
}
