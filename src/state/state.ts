/**
 * The state database: fences, records of each table's publications, and locks of the schedule. Losing it loses nothing
 * that is served: manifests are the truth, and everything here can be rebuilt (P5, replicas never regress).
 *
 * `migrations.ts` makes the tables, `fence.ts` keeps workers apart, `publications.ts` records outcomes for people and for
 * pacing, `schedule-lock.ts` gives each scheduled run to one replica.
 */
import { randomUUID } from 'node:crypto';
import type pg from 'pg';
import { createPool, mapPostgresErrors } from '../postgres/pool.ts';
import { createFence, defaultLeaseSeconds, type Fence } from './fence.ts';
import { createPublications, type Publications } from './publications.ts';
import { migrate } from './migrations.ts';
import { createScheduleLocks, type ScheduleLocks } from './schedule-lock.ts';

export interface State {
  readonly pool: pg.Pool;
  readonly fence: Fence;
  readonly publications: Publications;
  readonly scheduleLocks: ScheduleLocks;
  /** Release every lease and close all connections. */
  close(): Promise<void>;
}

interface StateOptions {
  readonly url: string;
  /** Connections; 4 unless given. */
  readonly poolSize?: number;
  /** A worker without a heartbeat for this long has lost its table; `defaultLeaseSeconds` unless given. */
  readonly leaseSeconds?: number;
  readonly onIdleError: (error: Error) => void;
}

/** Connect and bring the schema up to date; rejects with `STATE_UNAVAILABLE` when the database cannot be asked. */
export async function openState(options: StateOptions): Promise<State> {
  const pool = createPool({
    url: options.url,
    applicationName: 'datastore-dumper state',
    size: options.poolSize ?? 4,
    // Longer than another worker's switch may hold a row.
    queryTimeoutSeconds: 60,
    onIdleError: options.onIdleError,
  });
  try {
    await mapPostgresErrors('STATE_UNAVAILABLE', () => migrate(pool));
  } catch (error) {
    await pool.end();
    throw error;
  }
  const leaseSeconds = options.leaseSeconds ?? defaultLeaseSeconds;
  const holder = randomUUID();
  const fence = createFence(pool, { holder, leaseSeconds, onHeartbeatError: options.onIdleError });
  return {
    pool,
    fence,
    publications: createPublications(pool, leaseSeconds),
    scheduleLocks: createScheduleLocks(pool, { holder, leaseSeconds, onHeartbeatError: options.onIdleError }),
    close: async () => {
      await fence.releaseAll().catch(options.onIdleError);
      await pool.end();
    },
  };
}
