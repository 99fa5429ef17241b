/**
 * Whose turn it is: each occasion of a schedule is given to one replica, and never while an earlier one still runs.
 * A replica that dies in its turn loses it with its heartbeat.
 */
import type pg from 'pg';
import { createHeartbeat, type FenceOptions } from './fence.ts';

export interface ScheduleLocks {
  /** Run `work` if this occasion is still free and no earlier one is under way; false: not our turn. */
  run(name: string, occasion: Date, work: () => Promise<void>): Promise<boolean>;
}

const claim = `INSERT INTO dumper.turn AS t (name, occasion, holder, beat_at)
  VALUES ($1, $2, $3, clock_timestamp())
  ON CONFLICT (name) DO UPDATE SET occasion = $2, holder = $3, beat_at = clock_timestamp()
  WHERE t.occasion < $2 AND (t.holder IS NULL OR t.beat_at < clock_timestamp() - make_interval(secs => $4))
  RETURNING name`;

export function createScheduleLocks(pool: pg.Pool, options: FenceOptions): ScheduleLocks {
  return {
    run: async (name, occasion, work) => {
      const { rowCount } = await pool.query(claim, [name, occasion, options.holder, options.leaseSeconds]);
      if (rowCount === 0) return false;
      const heart = createHeartbeat(() => beat(pool, name, options.holder), options);
      heart.start();
      try {
        await work();
      } finally {
        heart.stop();
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
