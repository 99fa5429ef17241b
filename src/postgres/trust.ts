/**
 * Whether a table may be read with the rights of this service, which reads every table of the DataStore (promise P9: no
 * private data to those who may not see it). Code of a table's owner that runs in our session could read the others.
 *
 * Postgres runs such code in four places. Policies of row security: scans set `row_security = off`, so that Postgres refuses
 * instead. Casts from and to a column's type, which `to_json` looks up. Expressions of indexes, constraints, statistics and
 * partition keys, which the planner may evaluate. And functions of `public` that fit a call better than the one of
 * `pg_catalog`: ours name their schema. Defaults, triggers and generated columns do not run when a table is read.
 */
import { DumperError } from '../errors.ts';
import type { Queryable } from './pool.ts';
import type { ResourceId } from './table.ts';

/**
 * Throws `TABLE_UNSAFE` with the reason. Functions of a superuser, of an extension, of the database's owner and of CKAN's
 * write role are trusted. CKAN's set-permissions makes the write role the owner of `_table_metadata`.
 */
export async function assertSafeToRead(db: Queryable, id: ResourceId): Promise<void> {
  const { rows } = await db.query<{ secured: boolean; untrusted: string | null }>(unsafeParts, [id]);
  const { secured = false, untrusted = null } = rows[0] ?? {};
  if (secured) {
    const reason = `row security filters the table for the read role; switch it off, or give the role BYPASSRLS`;
    throw new DumperError('TABLE_UNSAFE', reason);
  }
  if (untrusted !== null) {
    const reason = `reading the table would run ${untrusted}, with rights that its owner does not have`;
    throw new DumperError('TABLE_UNSAFE', reason);
  }
}

/** User-defined types have such numbers (`FirstNormalObjectId`). */
const firstUserOid = 16384;

/** The types of the columns, and those inside them: of domains, arrays, composites and ranges. */
const reachedTypes = `reached AS (
  SELECT a.atttypid AS type FROM subject JOIN pg_catalog.pg_attribute a ON a.attrelid = subject.oid
    WHERE a.attnum > 0 AND NOT a.attisdropped AND a.atttypid >= ${firstUserOid}
  UNION
  SELECT inner_type.oid FROM reached JOIN pg_catalog.pg_type t ON t.oid = reached.type
    CROSS JOIN LATERAL (
      SELECT t.typbasetype AS oid UNION ALL SELECT t.typelem
      UNION ALL SELECT f.atttypid FROM pg_catalog.pg_attribute f
        WHERE f.attrelid = t.typrelid AND f.attnum > 0 AND NOT f.attisdropped
      UNION ALL SELECT r.rngsubtype FROM pg_catalog.pg_range r WHERE r.rngtypid = t.oid OR (pg_catalog.to_jsonb(r) ->> 'rngmultitypid')::pg_catalog.oid = t.oid
    ) AS inner_type WHERE inner_type.oid >= ${firstUserOid}
)`;

/** Parts of the table, and of those that inherit from it, whose expressions the planner may evaluate. */
const plannedParts = `SELECT 'pg_catalog.pg_class'::pg_catalog.regclass::oid AS class, i.indexrelid AS oid
    FROM subject JOIN pg_catalog.pg_index i ON i.indrelid = subject.oid
  UNION ALL SELECT 'pg_catalog.pg_class'::pg_catalog.regclass::oid, subject.oid FROM subject
  UNION ALL SELECT 'pg_catalog.pg_constraint'::pg_catalog.regclass::oid, k.oid
    FROM subject JOIN pg_catalog.pg_constraint k ON k.conrelid = subject.oid
  UNION ALL SELECT 'pg_catalog.pg_statistic_ext'::pg_catalog.regclass::oid, s.oid
    FROM subject JOIN pg_catalog.pg_statistic_ext s ON s.stxrelid = subject.oid`;

const unsafeParts = `WITH RECURSIVE named AS (
  SELECT c.oid, c.relkind FROM pg_catalog.pg_class c
  WHERE c.relnamespace = 'public'::pg_catalog.regnamespace AND c.relname = $1::text
), subject AS (
  SELECT named.oid FROM named
  UNION SELECT i.inhrelid FROM subject JOIN pg_catalog.pg_inherits i ON i.inhparent = subject.oid
), ${reachedTypes}, called AS (
  SELECT k.castfunc AS oid FROM reached JOIN pg_catalog.pg_cast k
    ON k.castsource = reached.type OR k.casttarget = reached.type
  UNION
  SELECT coalesce(o.oprcode::oid, d.refobjid) FROM (${plannedParts}) AS part
    JOIN pg_catalog.pg_depend d ON d.classid = part.class AND d.objid = part.oid
    LEFT JOIN pg_catalog.pg_operator o
      ON d.refclassid = 'pg_catalog.pg_operator'::pg_catalog.regclass AND o.oid = d.refobjid
    WHERE d.refclassid IN ('pg_catalog.pg_proc'::pg_catalog.regclass, 'pg_catalog.pg_operator'::pg_catalog.regclass)
), trusted AS (
  SELECT datdba AS role FROM pg_catalog.pg_database WHERE datname = pg_catalog.current_database()
  UNION ALL SELECT c.relowner FROM pg_catalog.pg_class c
    WHERE c.relnamespace = 'public'::pg_catalog.regnamespace AND c.relname = '_table_metadata' AND c.relkind = 'v'
)
SELECT coalesce((SELECT pg_catalog.row_security_active(named.oid) FROM named WHERE named.relkind IN ('r', 'p')), false)
    AS secured,
  (SELECT pg_catalog.format('the function %s of the role %s', f.proname, pg_catalog.pg_get_userbyid(f.proowner))
    FROM called JOIN pg_catalog.pg_proc f USING (oid)
    WHERE f.proowner NOT IN (SELECT role FROM trusted)
      AND NOT EXISTS (SELECT FROM pg_catalog.pg_roles r WHERE r.oid = f.proowner AND r.rolsuper)
      AND NOT EXISTS (SELECT FROM pg_catalog.pg_depend e WHERE e.classid = 'pg_catalog.pg_proc'::pg_catalog.regclass
        AND e.objid = f.oid AND e.deptype = 'e')
    ORDER BY f.proname LIMIT 1) AS untrusted`;
