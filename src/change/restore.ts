/**
 * A restore of the DataStore beside the running service: sweep and worker keep out of it (P20, P4). Its tables come first
 * and their triggers last: a table without triggers is not the sweep's then, and nothing is yet as it will be.
 */
import type { Queryable } from '../postgres/pool.ts';
import { restoreName } from './journal.sql.ts';

/** Does pg_restore work on this database, or did it a moment ago? */
export type RestoreWatch = () => Promise<boolean>;

/** With `-j` it has no connection for a moment between its phases. */
const pauseSeconds = 5;

export function createRestoreWatch(read: Queryable): RestoreWatch {
  let seenAt = -Infinity;
  return async () => {
    const { rows } = await read.query<{ under_way: boolean }>(underWay, [restoreName]);
    const now = performance.now();
    if (rows[0]?.under_way === true) seenAt = now;
    return now - seenAt < pauseSeconds * 1000;
  };
}

/** A session that has long been idle restores nothing. Every role may see the names of others' sessions, and choose its own: so only a role that may create tables counts. */
const underWay = `SELECT EXISTS (SELECT FROM pg_catalog.pg_stat_activity
    WHERE datname = pg_catalog.current_database() AND application_name = $1
      AND NOT coalesce(state = 'idle' AND state_change < pg_catalog.clock_timestamp() - interval '10 minutes', false)
      AND coalesce(pg_catalog.has_schema_privilege(usesysid, pg_catalog.to_regnamespace('public')::oid, 'CREATE'), true)
  ) AS under_way`;
