/**
 * The SQL that reads revision tokens (P4, no stale blob is called fresh). The parts are the same whether one table is looked
 * up or all are swept, so that their tokens are equal. Every part but the counters is read with the caller's snapshot.
 * Nothing takes a lock on a table, so that no answer waits behind a long TRUNCATE or load. Functions are named with their
 * schema: one of the same name in `public`, with better fitting arguments, would run with the reader's rights.
 */

/** Names of the change journal, where it is installed: `change/journal.ts` makes it, this file reads it. */
export const journal = {
  schema: 'datastore_dumper',
  rowTrigger: 'datastore_dumper_rows',
  truncateTrigger: 'datastore_dumper_truncate',
  /** The journal's sum is kept modulo 2^60, so that it folds into a bigint. */
  modulus: '1152921504606846976',
} as const;

/** A row of every query here. */
export interface TableStateRow {
  id: string;
  exact: boolean;
  token: string;
  bytes: string;
  /** The journal can be read. */
  journal: boolean;
}

/** Column facts that shape a dump: order, names, types, comments. Read with the caller's snapshot. */
const columnsHash = `(SELECT pg_catalog.left(pg_catalog.md5(pg_catalog.string_agg(pg_catalog.concat_ws('|', a.attnum, a.attname, a.atttypid, a.atttypmod,
      a.attisdropped, d.description), ',' ORDER BY a.attnum)), 16)
    FROM pg_catalog.pg_attribute a
    LEFT JOIN pg_catalog.pg_description d
      ON d.objoid = a.attrelid AND d.classoid = 'pg_catalog.pg_class'::regclass AND d.objsubid = a.attnum
    WHERE a.attrelid = c.oid AND a.attnum > 0)`;

/**
 * The session's settings that shape how values are printed, and that a scan leaves as the server has them, as CKAN does.
 * A subquery, so that it is run once for a statement, not once for a table.
 */
const printing = `(SELECT pg_catalog.left(pg_catalog.md5(pg_catalog.concat_ws('|', pg_catalog.current_setting('TimeZone'), pg_catalog.current_setting('IntervalStyle'),
    pg_catalog.current_setting('extra_float_digits'), pg_catalog.current_setting('bytea_output'), pg_catalog.current_setting('lc_monetary'))), 8))`;

const counters = `CASE WHEN pg_catalog.pg_is_in_recovery() THEN pg_catalog.pg_last_wal_replay_lsn()::text
    ELSE pg_catalog.concat_ws('.', pg_catalog.pg_stat_get_tuples_inserted(c.oid), pg_catalog.pg_stat_get_tuples_updated(c.oid),
      pg_catalog.pg_stat_get_tuples_deleted(c.oid),
      extract(epoch FROM pg_catalog.pg_stat_get_db_stat_reset_time((SELECT oid FROM pg_catalog.pg_database
        WHERE datname = pg_catalog.current_database()))),
      (SELECT extract(epoch FROM stats_reset) FROM pg_catalog.pg_stat_bgwriter), extract(epoch FROM pg_catalog.pg_postmaster_start_time())) END`;

const withoutJournal = `CASE WHEN c.relkind = 'r' AND NOT c.relhassubclass THEN ${counters}
    ELSE pg_catalog.pg_current_snapshot()::text END`;

const bytesEstimate = `(greatest(c.relpages, 0) + coalesce((SELECT greatest(s.relpages, 0)
    FROM pg_catalog.pg_class s WHERE s.oid = c.reltoastrelid), 0))::bigint * 8192`;

/** Whether the journal is installed and this role may read it. */
export const journalReadable = `EXISTS (SELECT FROM pg_catalog.pg_class j JOIN pg_catalog.pg_namespace n ON n.oid = j.relnamespace
    WHERE n.nspname = '${journal.schema}' AND j.relname = 'change'
      AND pg_catalog.has_schema_privilege(n.oid, 'USAGE') AND pg_catalog.has_table_privilege(j.oid, 'SELECT'))`;

/** Both triggers, both ENABLE ALWAYS; their identity changes when they are disabled and enabled again. */
const triggers = `LATERAL (SELECT pg_catalog.count(*) = 2 AND c.relkind = 'r' AND NOT c.relhassubclass AS covered,
      pg_catalog.string_agg(pg_catalog.concat_ws(':', g.oid, g.xmin), '-' ORDER BY g.oid) AS identity
    FROM pg_catalog.pg_trigger g
    WHERE g.tgrelid = c.oid AND g.tgname IN ('${journal.rowTrigger}', '${journal.truncateTrigger}')
      AND g.tgenabled = 'A') t`;

const journalSum = `coalesce((SELECT (pg_catalog.sum(j.amount) OPERATOR(pg_catalog.%) ${journal.modulus})::text
    FROM ${journal.schema}.change j WHERE j.relation = c.oid), '0')`;

const exactColumns = `c.relname AS id, t.covered AS exact, true AS journal, ${bytesEstimate} AS bytes,
  pg_catalog.concat_ws('.', c.oid, c.relfilenode, ${columnsHash}, ${printing},
    CASE WHEN t.covered THEN pg_catalog.concat_ws('.', t.identity, ${journalSum}) ELSE ${withoutJournal} END) AS token`;
const readOnlyColumns = `c.relname AS id, false AS exact, ${journalReadable} AS journal, ${bytesEstimate} AS bytes,
  pg_catalog.concat_ws('.', c.oid, c.relfilenode, ${columnsHash}, ${printing}, ${withoutJournal}) AS token`;

const isTable = `c.relnamespace = 'public'::pg_catalog.regnamespace AND c.relkind IN ('r', 'p')`;

/** The state of tables where the journal can be read; further conditions are appended. */
export const exactSelect = `SELECT ${exactColumns} FROM pg_catalog.pg_class c CROSS JOIN ${triggers} WHERE ${isTable}`;
/** The same where it cannot be read; `journal` says whether it can be read now. */
export const readOnlySelect = `SELECT ${readOnlyColumns} FROM pg_catalog.pg_class c WHERE ${isTable}`;

/** CKAN's `_table_metadata.alias_of`, from the catalogue that CKAN's view reads: the table below a view. */
const asked = (name: '$1::text' | 'given.name'): string =>
  `CASE WHEN EXISTS (SELECT FROM pg_catalog.pg_class c WHERE c.relname = ${name} AND ${isTable}) THEN ${name}
  ELSE (SELECT base.relname::text FROM pg_catalog.pg_class view
    JOIN pg_catalog.pg_rewrite rule ON rule.ev_class = view.oid
    JOIN pg_catalog.pg_depend link ON link.objid = rule.oid AND link.classid = 'pg_catalog.pg_rewrite'::regclass
      AND link.refclassid = 'pg_catalog.pg_class'::regclass AND link.refobjid <> view.oid
    JOIN pg_catalog.pg_class base ON base.oid = link.refobjid
    WHERE view.relname = ${name} AND view.relkind = 'v' AND view.relnamespace = 'public'::pg_catalog.regnamespace
    ORDER BY pg_catalog.md5(base.relname) LIMIT 1) END`;

/** Names of the prepared statements of a look-up. */
export const lookUpNames = { exact: 'dumper_look_up_exact', readOnly: 'dumper_look_up_read_only' } as const;
/** One table by the name or alias `$1`. */
export const lookUps = {
  exact: `${exactSelect} AND c.relname = (${asked('$1::text')})`,
  readOnly: `${readOnlySelect} AND c.relname = (${asked('$1::text')})`,
} as const;

/** The tables that the names or aliases `$1` mean, with their sizes. */
export const sizesByName = `SELECT given.name, c.relname AS id, ${bytesEstimate} AS bytes
  FROM pg_catalog.unnest($1::text[]) AS given(name)
  JOIN pg_catalog.pg_class c ON ${isTable} AND c.relname = (${asked('given.name')})`;

/** Tables as CKAN makes them: an `_id` column, and a name that does not mark an internal table. */
export const isResource = `AND NOT pg_catalog.starts_with(c.relname::text, '_') AND EXISTS (SELECT FROM pg_catalog.pg_attribute a
  WHERE a.attrelid = c.oid AND a.attname = '_id' AND NOT a.attisdropped)`;
