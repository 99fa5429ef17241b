/**
 * The SQL that reads revision tokens (P4, no stale blob is called fresh). The parts are the same whether one table is looked
 * up or all are swept, so that their tokens are equal. Every part but the counters is read with the caller's snapshot.
 * Nothing takes a lock on a table, so that no answer waits behind a long TRUNCATE or load.
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
const columnsHash = `(SELECT left(md5(string_agg(concat_ws('|', a.attnum, a.attname, a.atttypid, a.atttypmod,
      a.attisdropped, d.description), ',' ORDER BY a.attnum)), 16)
    FROM pg_catalog.pg_attribute a
    LEFT JOIN pg_catalog.pg_description d
      ON d.objoid = a.attrelid AND d.classoid = 'pg_catalog.pg_class'::regclass AND d.objsubid = a.attnum
    WHERE a.attrelid = c.oid AND a.attnum > 0)`;

/**
 * The session's settings that shape how values are printed, and that a scan leaves as the server has them, as CKAN does.
 * A subquery, so that it is run once for a statement, not once for a table.
 */
const printing = `(SELECT left(md5(concat_ws('|', current_setting('TimeZone'), current_setting('IntervalStyle'),
    current_setting('extra_float_digits'), current_setting('bytea_output'), current_setting('lc_monetary'))), 8))`;

const counters = `CASE WHEN pg_is_in_recovery() THEN pg_last_wal_replay_lsn()::text
    ELSE concat_ws('.', pg_stat_get_tuples_inserted(c.oid), pg_stat_get_tuples_updated(c.oid),
      pg_stat_get_tuples_deleted(c.oid),
      extract(epoch FROM pg_stat_get_db_stat_reset_time((SELECT oid FROM pg_catalog.pg_database
        WHERE datname = current_database()))),
      (SELECT extract(epoch FROM stats_reset) FROM pg_catalog.pg_stat_bgwriter), extract(epoch FROM pg_postmaster_start_time())) END`;

const withoutJournal = `CASE WHEN c.relkind = 'r' AND NOT c.relhassubclass THEN ${counters}
    ELSE pg_current_snapshot()::text END`;

const bytesEstimate = `(greatest(c.relpages, 0) + coalesce((SELECT greatest(s.relpages, 0)
    FROM pg_catalog.pg_class s WHERE s.oid = c.reltoastrelid), 0))::bigint * 8192`;

/** Whether the journal is installed and this role may read it. */
export const journalReadable = `EXISTS (SELECT FROM pg_catalog.pg_class j JOIN pg_catalog.pg_namespace n ON n.oid = j.relnamespace
    WHERE n.nspname = '${journal.schema}' AND j.relname = 'change'
      AND has_schema_privilege(n.oid, 'USAGE') AND has_table_privilege(j.oid, 'SELECT'))`;

/** Both triggers, both ENABLE ALWAYS; their identity changes when they are disabled and enabled again. */
const triggers = `LATERAL (SELECT count(*) = 2 AND c.relkind = 'r' AND NOT c.relhassubclass AS covered,
      string_agg(concat_ws(':', g.oid, g.xmin), '-' ORDER BY g.oid) AS identity
    FROM pg_catalog.pg_trigger g
    WHERE g.tgrelid = c.oid AND g.tgname IN ('${journal.rowTrigger}', '${journal.truncateTrigger}')
      AND g.tgenabled = 'A') t`;

const journalSum = `coalesce((SELECT (sum(j.amount) % ${journal.modulus})::text
    FROM ${journal.schema}.change j WHERE j.relation = c.oid), '0')`;

const exactColumns = `c.relname AS id, t.covered AS exact, true AS journal, ${bytesEstimate} AS bytes,
  concat_ws('.', c.oid, c.relfilenode, ${columnsHash}, ${printing},
    CASE WHEN t.covered THEN concat_ws('.', t.identity, ${journalSum}) ELSE ${withoutJournal} END) AS token`;
const readOnlyColumns = `c.relname AS id, false AS exact, ${journalReadable} AS journal, ${bytesEstimate} AS bytes,
  concat_ws('.', c.oid, c.relfilenode, ${columnsHash}, ${printing}, ${withoutJournal}) AS token`;

const isTable = `c.relnamespace = 'public'::regnamespace AND c.relkind IN ('r', 'p')`;

/** The state of tables where the journal can be read; further conditions are appended. */
export const exactSelect = `SELECT ${exactColumns} FROM pg_catalog.pg_class c CROSS JOIN ${triggers} WHERE ${isTable}`;
/** The same where it cannot be read; `journal` says whether it can be read now. */
export const readOnlySelect = `SELECT ${readOnlyColumns} FROM pg_catalog.pg_class c WHERE ${isTable}`;

/** CKAN's `_table_metadata.alias_of`, from the catalogue that CKAN's view reads: the table below a view. */
const asked = `CASE WHEN EXISTS (SELECT FROM pg_catalog.pg_class c WHERE c.relname = $1::text AND ${isTable}) THEN $1::text
  ELSE (SELECT base.relname::text FROM pg_catalog.pg_class view
    JOIN pg_catalog.pg_rewrite rule ON rule.ev_class = view.oid
    JOIN pg_catalog.pg_depend link ON link.objid = rule.oid AND link.classid = 'pg_catalog.pg_rewrite'::regclass
      AND link.refclassid = 'pg_catalog.pg_class'::regclass AND link.refobjid <> view.oid
    JOIN pg_catalog.pg_class base ON base.oid = link.refobjid
    WHERE view.relname = $1::text AND view.relkind = 'v' AND view.relnamespace = 'public'::regnamespace
    ORDER BY md5(base.relname) LIMIT 1) END`;

/** Names of the prepared statements of a look-up. */
export const lookUpNames = { exact: 'dumper_look_up_exact', readOnly: 'dumper_look_up_read_only' } as const;
/** One table by the name or alias `$1`. */
export const lookUps = {
  exact: `${exactSelect} AND c.relname = (${asked})`,
  readOnly: `${readOnlySelect} AND c.relname = (${asked})`,
} as const;

/** Tables as CKAN makes them: an `_id` column, and a name that does not mark an internal table. */
export const isResource = `AND NOT starts_with(c.relname::text, '_') AND EXISTS (SELECT FROM pg_catalog.pg_attribute a
  WHERE a.attrelid = c.oid AND a.attname = '_id' AND NOT a.attisdropped)`;
