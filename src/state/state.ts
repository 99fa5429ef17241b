/**
 * The state database: fences, what is known of each table's publications, and whose turn the schedule is. Losing it
 * loses nothing that is served: manifests are the truth, and everything here is learned again (promise P5).
 *
 * `state/schema.ts` makes the tables, `state/fence.ts` keeps workers apart, `state/record.ts` remembers outcomes for
 * people and pacing, `state/turn.ts` gives each scheduled occasion to one replica.
 */
import { randomUUID } from 'node:crypto';
import type pg from 'pg';
import { createPool, mapPostgresErrors } from '../postgres/pool.ts';
import { createFence, type Fence } from './fence.ts';
import { createPublications, type Publications } from './publications.ts';
import { migrate } from './migrations.ts';
import { createScheduleLocks, type ScheduleLocks } from './schedule-lock.ts';

export interface State {
  readonly pool: pg.Pool;
  readonly fence: Fence;
  readonly publications: Publications;
  readonly scheduleLocks: ScheduleLocks;
  /** Let go of every lease and close all connections. */
  close(): Promise<void>;
}

export interface StateOptions {
  readonly url: string;
  /** Connections; 4 unless given. */
  readonly poolSize?: number;
  /** A worker silent for this long has lost its table; 15 unless given. */
  readonly leaseSeconds?: number;
  readonly onIdleError: (error: Error) => void;
}

/** Connect and bring the schema up to date; rejects with `STATE_UNAVAILABLE` when the database cannot be asked. */
export async function openState(options: StateOptions): Promise<State> {
  const pool = createPool({
    url: options.url,
    applicationName: 'datastore-dumper state',
    size: options.poolSize ?? 4,
    // longer than another's switch may hold a row
    queryTimeoutSeconds: 60,
    onIdleError: options.onIdleError,
  });
  try {
    await mapPostgresErrors('STATE_UNAVAILABLE', () => migrate(pool));
  } catch (error) {
    await pool.end();
    throw error;
  }
  const leaseSeconds = options.leaseSeconds ?? 15;
  const holder = randomUUID();
  const fence = createFence(pool, { holder, leaseSeconds, onHeartbeatError: options.onIdleError });
  return {
    pool,
    fence,
    publications: createPublications(pool),
    scheduleLocks: createScheduleLocks(pool, { holder, leaseSeconds, onHeartbeatError: options.onIdleError }),
    close: async () => {
      await fence.releaseAll().catch(options.onIdleError);
      await pool.end();
    },
  };
}
