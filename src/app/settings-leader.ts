/**
 * The settings leader: where processes with different settings share a state database, during a rolling upgrade or by
 * mistake, only those with one set of settings publish, so that two versions side by side settle instead of publishing
 * against each other (P5: replicas never double work).
 *
 * The settings that decide bytes (formats, CKAN's version) make the fingerprint. The process that acquired last leads,
 * with all processes of the same fingerprint. When the leader has not renewed for a while, another process takes over; a
 * leader that was only slow leads again when it renews. One row of the schedule locks holds it: the digest of the
 * fingerprint as the holder, and as the occasion the time of acquiring.
 */
import { createHash } from 'node:crypto';
import type pg from 'pg';
import { errorMessage } from '../errors.ts';
import type { AppContext } from './context.ts';

export interface SettingsLeader {
  /** Acquire the lead, and renew it from then on. */
  elect(): Promise<void>;
  /** Asks the database. Always true in a process that was never elected, such as a command in the foreground. */
  isLeader(): Promise<boolean>;
  /** Calls the listener at each change; there is one listener. */
  onChange(listener: (isLeader: boolean) => Promise<void>): void;
  /** Renew no more: another process leads after a while. */
  stop(): void;
}

const row = 'settings in force';

/** Lead from now on, whoever led before. Returns the time of acquiring, by the database's clock, to the microsecond. */
export async function acquire(pool: pg.Pool, fingerprint: string): Promise<string> {
  const { rows } = await pool.query<{ occasion: string }>(
    `INSERT INTO dumper.turn (name, occasion, holder, beat_at)
     VALUES ($1, clock_timestamp(), $2, clock_timestamp())
     ON CONFLICT (name) DO UPDATE SET occasion = clock_timestamp(), holder = $2, beat_at = clock_timestamp()
     RETURNING occasion::text`,
    [row, digest(fingerprint)],
  );
  return rows[0]?.occasion ?? '';
}

export interface Lease {
  readonly fingerprint: string;
  readonly acquiredAt: string;
  /** A leader that has not renewed for this long leads no more. */
  readonly silentSeconds: number;
}

/** True, and renewed, when we lead, or the leader does not renew, or the leader acquired earlier than we did. */
export async function renew(pool: pg.Pool, lease: Lease): Promise<boolean> {
  const { rowCount } = await pool.query(
    `UPDATE dumper.turn SET holder = $2, beat_at = clock_timestamp(),
       occasion = CASE WHEN holder = $2 THEN greatest(occasion, $4::timestamptz) ELSE $4::timestamptz END
     WHERE name = $1
       AND (holder = $2 OR occasion < $4::timestamptz OR beat_at < clock_timestamp() - make_interval(secs => $3))`,
    [row, digest(lease.fingerprint), lease.silentSeconds, lease.acquiredAt],
  );
  return rowCount === 1;
}

function digest(fingerprint: string): string {
  return createHash('sha256').update(fingerprint).digest('hex').slice(0, 32);
}

export function createSettingsLeader(
  { config, profiles, log }: Pick<AppContext, 'config' | 'profiles' | 'log'>,
  pool: pg.Pool,
  silentSeconds = 60,
): SettingsLeader {
  let lease: Lease | null = null;
  let isElected = false;
  let wasLeader = true;
  let tell = async (_isLeader: boolean): Promise<void> => undefined;
  let heartbeat: NodeJS.Timeout | undefined;

  /** Acquires again when CKAN has another version; otherwise only renews. */
  const check = oneAtATime(async (): Promise<boolean> => {
    const fingerprint = `${[...config.DUMPER_FORMATS].sort().join()}|${(await profiles.known()).fingerprint}`;
    if (lease?.fingerprint !== fingerprint)
      lease = { fingerprint, acquiredAt: await acquire(pool, fingerprint), silentSeconds };
    const isLeader = await renew(pool, lease);
    if (isLeader === wasLeader) return isLeader;
    wasLeader = isLeader;
    const message = isLeader
      ? 'this process publishes: its settings are in force'
      : 'this process does not publish: one with other settings started later';
    log.warn({ settings: fingerprint }, message);
    await tell(isLeader).catch((error: unknown) => {
      // the next heartbeat tells it again
      wasLeader = !isLeader;
      throw error;
    });
    return isLeader;
  });
  return {
    elect: async () => {
      [lease, wasLeader] = [null, true];
      isElected = true;
      await check();
      heartbeat ??= setInterval(() => {
        check().catch((error: unknown) =>
          log.debug({ reason: errorMessage(error) }, 'the settings leader could not be renewed'),
        );
      }, silentSeconds * 250);
    },
    isLeader: async () => !isElected || check(),
    onChange: (listener) => {
      tell = listener;
    },
    stop: () => {
      clearInterval(heartbeat);
      heartbeat = undefined;
    },
  };
}

/** Callers during a check share its answer, so that the listener hears changes in their order. */
function oneAtATime<Answer>(ask: () => Promise<Answer>): () => Promise<Answer> {
  let asking: Promise<Answer> | null = null;
  return () => {
    asking ??= ask().finally(() => {
      asking = null;
    });
    return asking;
  };
}
