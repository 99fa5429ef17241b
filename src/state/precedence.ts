/**
 * Whose settings are in force, where processes with different ones share a state database: during a rolling upgrade,
 * or by mistake. What decides bytes (formats, CKAN's version) of the process that declared itself last is; the others
 * stand aside, so that no two publish the same tables in turn for ever (promise P5). When the last one has been silent
 * for a while, whoever is left takes over.
 *
 * It is kept as one row among the turns, with the digest of the settings in the place of a holder.
 */
import { createHash } from 'node:crypto';
import type pg from 'pg';

export interface Precedence {
  /** Ours from now on, whoever had it. */
  declare(fingerprint: string): Promise<void>;
  /** Still ours, or ours because nobody keeps it? Keeps it alive if so. */
  keep(fingerprint: string): Promise<boolean>;
}

const row = 'settings in force';

const declare = `INSERT INTO dumper.turn (name, occasion, holder, beat_at)
  VALUES ($1, clock_timestamp(), $2, clock_timestamp())
  ON CONFLICT (name) DO UPDATE SET occasion = clock_timestamp(), holder = $2, beat_at = clock_timestamp()`;

const keep = `UPDATE dumper.turn SET holder = $2, beat_at = clock_timestamp()
  WHERE name = $1 AND (holder = $2 OR beat_at < clock_timestamp() - make_interval(secs => $3))`;

/** `silentSeconds`: a holder that has not kept it for this long has lost it. */
export function createPrecedence(pool: pg.Pool, silentSeconds: number): Precedence {
  return {
    declare: async (fingerprint) => {
      await pool.query(declare, [row, digest(fingerprint)]);
    },
    keep: async (fingerprint) => {
      const { rowCount } = await pool.query(keep, [row, digest(fingerprint), silentSeconds]);
      return rowCount === 1;
    },
  };
}

function digest(fingerprint: string): string {
  return createHash('sha256').update(fingerprint).digest('hex').slice(0, 32);
}
