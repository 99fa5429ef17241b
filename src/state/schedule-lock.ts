/**
 * Locks of the schedule: each scheduled run goes to one replica, and none starts while an earlier one is still running
 * (P5, replicas never double work). A replica that dies during its run loses the lock with its heartbeat.
 */
import type pg from 'pg';
import { createHeartbeat, type FenceOptions } from './fence.ts';

export interface ScheduleLocks {
  /** Run `work` unless another replica took this scheduled time, or an earlier run is still going: false then. */
  run(name: string, scheduledAt: Date, work: () => Promise<void>): Promise<boolean>;
}

const claim = `INSERT INTO dumper.turn AS t (name, occasion, holder, beat_at)
  VALUES ($1, $2, $3, clock_timestamp())
  ON CONFLICT (name) DO UPDATE SET occasion = $2, holder = $3, beat_at = clock_timestamp()
  WHERE t.occasion < $2 AND (t.holder IS NULL OR t.beat_at < clock_timestamp() - make_interval(secs => $4))
  RETURNING name`;

export function createScheduleLocks(pool: pg.Pool, options: FenceOptions): ScheduleLocks {
  return {
    run: async (name, scheduledAt, work) => {
      const { rowCount } = await pool.query(claim, [name, scheduledAt, options.holder, options.leaseSeconds]);
      if (rowCount === 0) return false;
      const heartbeat = createHeartbeat(() => beat(pool, name, options.holder), options);
      heartbeat.start();
      try {
        await work();
      } finally {
        heartbeat.stop();
        await end(pool, name, options.holder).catch(options.onHeartbeatError);
      }
      return true;
    },
  };
}

async function beat(pool: pg.Pool, name: string, holder: string): Promise<void> {
  await pool.query('UPDATE dumper.turn SET beat_at = clock_timestamp() WHERE name = $1 AND holder = $2', [
    name,
    holder,
  ]);
}

async function end(pool: pg.Pool, name: string, holder: string): Promise<void> {
  await pool.query(
    'UPDATE dumper.turn SET holder = NULL, ended_at = clock_timestamp() WHERE name = $1 AND holder = $2',
    [name, holder],
  );
}
