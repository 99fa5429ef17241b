/**
 * Whose settings are in force, where processes with different ones share a state database: during a rolling upgrade,
 * or by mistake. What decides bytes (formats, CKAN's version) of the process that declared itself last is; the others
 * stand aside, so that no two publish the same tables in turn for ever (promise P5). When the last one has been silent
 * for a while, whoever is left takes over; should it have been held up only, it has its place again when it is back.
 *
 * It is kept as one row among the turns: the digest of the settings in the place of a holder, and as its occasion when
 * they were declared.
 */
import { createHash } from 'node:crypto';
import type pg from 'pg';

/** When a process declared its settings, by the database's clock, to the microsecond. */
export type AcquiredAt = string;

export interface SettingsLeader {
  /** Ours from now on, whoever had it. */
  acquire(fingerprint: string): Promise<AcquiredAt>;
  /** Still ours, or ours because nobody keeps it or who does declared earlier? Keeps it alive if so. */
  renew(fingerprint: string, declared: AcquiredAt): Promise<boolean>;
}

const row = 'settings in force';

const declare = `INSERT INTO dumper.turn (name, occasion, holder, beat_at)
  VALUES ($1, clock_timestamp(), $2, clock_timestamp())
  ON CONFLICT (name) DO UPDATE SET occasion = clock_timestamp(), holder = $2, beat_at = clock_timestamp()
  RETURNING occasion::text`;

const keep = `UPDATE dumper.turn SET holder = $2, beat_at = clock_timestamp(),
    occasion = CASE WHEN holder = $2 THEN greatest(occasion, $4::timestamptz) ELSE $4::timestamptz END
  WHERE name = $1
    AND (holder = $2 OR occasion < $4::timestamptz OR beat_at < clock_timestamp() - make_interval(secs => $3))`;

/** `silentSeconds`: a holder that has not kept it for this long has lost it. */
export function createSettingsLeader(pool: pg.Pool, silentSeconds: number): SettingsLeader {
  return {
    acquire: async (fingerprint) => {
      const { rows } = await pool.query<{ occasion: string }>(declare, [row, digest(fingerprint)]);
      return rows[0]?.occasion ?? '';
    },
    renew: async (fingerprint, declared) => {
      const { rowCount } = await pool.query(keep, [row, digest(fingerprint), silentSeconds, declared]);
      return rowCount === 1;
    },
  };
}

function digest(fingerprint: string): string {
  return createHash('sha256').update(fingerprint).digest('hex').slice(0, 32);
}
