/**
 * The SQL of the change journal, the source of exact revision tokens (P4, no stale blob is called fresh): the scripts that
 * install and remove it, which are run and printed as they stand here.
 *
 * The journal has a schema of its own: CKAN 2.11 and before take every table of schema `public` for a resource, and their
 * purge command would drop it.
 */
import { isResource, journal } from '../postgres/revision.sql.ts';
import { quoteIdentifier } from '../postgres/table.ts';

const { schema, rowTrigger, truncateTrigger, modulus } = journal;

/** Channel of NOTIFY; the payload is the table's name. */
export const changeChannel = 'datastore_dumper';

/** Any fixed number: one installation at a time in a database. */
const installationLock = 5_170_312;

/** A part of a script: one connection runs it as one query, since COMMIT inside DO needs a query of its own. */
export interface ScriptPart {
  readonly comment: string;
  readonly sql: string;
}

export interface InstallScriptOptions {
  /** The role that reads the DataStore: may then read the journal and fold it. */
  readonly readRole: string;
  readonly lockSeconds: number;
}

/** Install or upgrade the journal, by the role that owns the tables, any number of times. */
export function installScript({ readRole, lockSeconds }: InstallScriptOptions): {
  readonly objects: ScriptPart;
  readonly events: ScriptPart;
  readonly cover: ScriptPart;
} {
  return {
    objects: {
      comment: 'as the role that owns the DataStore tables: the journal and its grants',
      sql: `BEGIN;
SELECT pg_advisory_xact_lock(${installationLock});
${createSchema}
${journalObjects}
${grants(quoteIdentifier(readRole))}
COMMIT;`,
    },
    events: {
      comment:
        'as a superuser, where the owner is one or --superuser-url names one: new tables are covered from birth',
      sql: `BEGIN;
SELECT pg_advisory_xact_lock(${installationLock});
${eventObjects}
${createEventTriggers}
COMMIT;`,
    },
    cover: {
      comment:
        'as the role that owns the DataStore tables: triggers on every table, outside a transaction block',
      sql: coverTables(milliseconds(lockSeconds)),
    },
  };
}

/** Remove every trigger, function, grant and row of the journal; by the role that owns the tables, no superuser. */
export function removeScript({ lockSeconds }: Pick<InstallScriptOptions, 'lockSeconds'>): ScriptPart[] {
  return [
    {
      comment:
        'as the role that owns the DataStore tables: triggers of every table, outside a transaction block',
      sql: uncoverTables(milliseconds(lockSeconds)),
    },
    {
      comment: 'as the role that owns the DataStore tables: the journal, and event triggers with it',
      sql: `BEGIN;
SET LOCAL lock_timeout = ${milliseconds(lockSeconds)};
DROP SCHEMA IF EXISTS ${schema} CASCADE;
COMMIT;`,
    },
  ];
}

/** The script as text, to be read, or to be run by psql. */
export function printedScript(parts: readonly ScriptPart[]): string {
  return parts.map(({ comment, sql }) => `-- ${comment}\n${sql}\n`).join('\n');
}

function milliseconds(seconds: number): number {
  return Math.round(seconds * 1000);
}

/** CREATE SCHEMA IF NOT EXISTS would ask for the right to create schemas where it exists already. */
const createSchema = `DO $schema$
BEGIN
  IF NOT EXISTS (SELECT FROM pg_catalog.pg_namespace WHERE nspname = '${schema}') THEN
    CREATE SCHEMA ${schema};
  END IF;
END $schema$;`;

function grants(role: string): string {
  return `GRANT USAGE ON SCHEMA ${schema} TO ${role};
GRANT SELECT ON ${schema}.change TO ${role};
GRANT EXECUTE ON FUNCTION ${schema}.fold() TO ${role};`;
}

/** Each table is a transaction of its own, so that writers wait for one bounded lock only, and 10,000 tables fit. */
function coverTables(lockMilliseconds: number): string {
  return `DO $cover$
DECLARE
  target text;
BEGIN
  FOR target IN SELECT c.relname FROM pg_catalog.pg_class c
      WHERE c.relnamespace = 'public'::regnamespace AND c.relkind = 'r' ${isResource} LOOP
    BEGIN
      PERFORM ${schema}.attach(target, ${lockMilliseconds});
    EXCEPTION
      WHEN lock_not_available OR insufficient_privilege THEN RAISE WARNING 'not covered: %: %', target, SQLERRM;
      WHEN undefined_table THEN NULL;
    END;
    COMMIT;
  END LOOP;
END $cover$;`;
}

function uncoverTables(lockMilliseconds: number): string {
  return `DO $uncover$
DECLARE
  target text;
BEGIN
  FOR target IN SELECT DISTINCT c.relname FROM pg_catalog.pg_trigger g JOIN pg_catalog.pg_class c ON c.oid = g.tgrelid
      WHERE g.tgname IN ('${rowTrigger}', '${truncateTrigger}') AND c.relnamespace = 'public'::regnamespace LOOP
    PERFORM set_config('lock_timeout', '${lockMilliseconds}', true);
    EXECUTE format('DROP TRIGGER IF EXISTS ${rowTrigger} ON public.%I', target);
    EXECUTE format('DROP TRIGGER IF EXISTS ${truncateTrigger} ON public.%I', target);
    COMMIT;
  END LOOP;
END $uncover$;`;
}

/** What the owner of the tables makes. */
const journalObjects = `
CREATE TABLE IF NOT EXISTS ${schema}.change (relation oid NOT NULL, amount bigint NOT NULL);
CREATE INDEX IF NOT EXISTS change_by_relation ON ${schema}.change (relation) INCLUDE (amount);
COMMENT ON TABLE ${schema}.change IS 'datastore-dumper: one random amount per changing transaction and table';

-- One row per transaction and table, so that writers never wait for one another. That the row is there is remembered in a
-- setting of the transaction, which a savepoint rolls back together with the row. A commit fails when the notification
-- queue is full, so nothing is added to one that is half full.
CREATE OR REPLACE FUNCTION ${schema}.bump() RETURNS trigger
LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $bump$
DECLARE
  here text := TG_RELID || ':' || pg_current_xact_id();
BEGIN
  IF current_setting('${schema}.seen', true) IS DISTINCT FROM here THEN
    INSERT INTO ${schema}.change (relation, amount)
    VALUES (TG_RELID, ('x' || substr(md5(gen_random_uuid()::text), 1, 15))::bit(60)::bigint);
    PERFORM set_config('${schema}.seen', here, true);
    IF pg_notification_queue_usage() < 0.5 THEN
      PERFORM pg_notify('${changeChannel}', TG_TABLE_NAME);
    END IF;
  END IF;
  RETURN NULL;
END $bump$;

-- Put the triggers on one table: true if they were missing. ENABLE ALWAYS: they fire in replication sessions too.
CREATE OR REPLACE FUNCTION ${schema}.attach(target text, wait_milliseconds integer) RETURNS boolean
LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp AS $attach$
DECLARE
  subject oid := (SELECT c.oid FROM pg_class c WHERE c.relname = target
    AND c.relnamespace = 'public'::regnamespace AND c.relkind = 'r' AND NOT c.relhassubclass);
  wanted text;
BEGIN
  IF subject IS NULL OR (SELECT count(*) = 2 FROM pg_trigger g WHERE g.tgrelid = subject
      AND g.tgname IN ('${rowTrigger}', '${truncateTrigger}') AND g.tgenabled = 'A') THEN
    RETURN false;
  END IF;
  PERFORM set_config('lock_timeout', wait_milliseconds::text, true);
  FOREACH wanted IN ARRAY ARRAY['${rowTrigger}', '${truncateTrigger}'] LOOP
    IF EXISTS (SELECT FROM pg_trigger g WHERE g.tgrelid = subject AND g.tgname = wanted) THEN
      EXECUTE format('DROP TRIGGER %I ON public.%I', wanted, target);
    END IF;
  END LOOP;
  EXECUTE format('CREATE TRIGGER ${rowTrigger} AFTER INSERT OR UPDATE OR DELETE ON public.%I
    FOR EACH STATEMENT EXECUTE FUNCTION ${schema}.bump()', target);
  EXECUTE format('CREATE TRIGGER ${truncateTrigger} AFTER TRUNCATE ON public.%I
    FOR EACH STATEMENT EXECUTE FUNCTION ${schema}.bump()', target);
  EXECUTE format('ALTER TABLE public.%I ENABLE ALWAYS TRIGGER ${rowTrigger}', target);
  EXECUTE format('ALTER TABLE public.%I ENABLE ALWAYS TRIGGER ${truncateTrigger}', target);
  RETURN true;
END $attach$;

-- Keep one row per table, with the same sum, and delete rows of tables that are gone. Safe at any time, also twice at once.
CREATE OR REPLACE FUNCTION ${schema}.fold() RETURNS void
LANGUAGE sql SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $fold$
  WITH many AS (
    SELECT relation FROM ${schema}.change GROUP BY relation HAVING count(*) > 1
  ), removed AS (
    DELETE FROM ${schema}.change c USING many WHERE c.relation = many.relation RETURNING c.relation, c.amount
  )
  INSERT INTO ${schema}.change SELECT relation, (sum(amount) % ${modulus})::bigint FROM removed GROUP BY relation;
  DELETE FROM ${schema}.change c WHERE NOT EXISTS (SELECT FROM pg_class WHERE oid = c.relation);
$fold$;
REVOKE ALL ON FUNCTION ${schema}.fold() FROM PUBLIC;`;

/**
 * What a superuser makes: new tables are covered from birth, and changed definitions are notified at once. The functions
 * act with the rights of whoever runs the command and never let it fail. They call nothing that a lesser role owns.
 */
const eventObjects = `
GRANT USAGE ON SCHEMA ${schema} TO PUBLIC;

CREATE OR REPLACE FUNCTION ${schema}.cover_new_tables() RETURNS event_trigger
LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp AS $cover$
DECLARE
  made record;
BEGIN
  FOR made IN SELECT c.relname FROM pg_event_trigger_ddl_commands() command JOIN pg_class c ON c.oid = command.objid
      WHERE command.classid = 'pg_class'::regclass AND command.schema_name = 'public'
        AND c.relkind = 'r' AND NOT c.relispartition AND NOT starts_with(c.relname::text, '_') LOOP
    EXECUTE format('CREATE TRIGGER ${rowTrigger} AFTER INSERT OR UPDATE OR DELETE ON public.%I
      FOR EACH STATEMENT EXECUTE FUNCTION ${schema}.bump()', made.relname);
    EXECUTE format('CREATE TRIGGER ${truncateTrigger} AFTER TRUNCATE ON public.%I
      FOR EACH STATEMENT EXECUTE FUNCTION ${schema}.bump()', made.relname);
    EXECUTE format('ALTER TABLE public.%I ENABLE ALWAYS TRIGGER ${rowTrigger}', made.relname);
    EXECUTE format('ALTER TABLE public.%I ENABLE ALWAYS TRIGGER ${truncateTrigger}', made.relname);
  END LOOP;
EXCEPTION WHEN OTHERS THEN
  RAISE WARNING 'datastore-dumper: a new table is not covered: %', SQLERRM;
END $cover$;

CREATE OR REPLACE FUNCTION ${schema}.tell_definitions() RETURNS event_trigger
LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp AS $tell$
BEGIN
  IF pg_notification_queue_usage() >= 0.5 THEN
    RETURN;
  ELSIF TG_EVENT = 'sql_drop' THEN
    PERFORM pg_notify('${changeChannel}', object_name) FROM pg_event_trigger_dropped_objects()
      WHERE object_type = 'table' AND schema_name = 'public';
  ELSE
    PERFORM pg_notify('${changeChannel}', c.relname) FROM pg_event_trigger_ddl_commands() command
      JOIN pg_class c ON c.oid = command.objid
      WHERE command.classid = 'pg_class'::regclass AND command.schema_name = 'public' AND c.relkind = 'r';
  END IF;
EXCEPTION WHEN OTHERS THEN
  RAISE WARNING 'datastore-dumper: a change was not notified: %', SQLERRM;
END $tell$;`;

/** New tables are covered from birth while this one is there and enabled. */
export const coveringTrigger = 'datastore_dumper_cover';

/** The event triggers; Postgres has no CREATE OR REPLACE for them. */
const eventTriggers: readonly { readonly name: string; readonly create: string }[] = [
  {
    name: coveringTrigger,
    create: `CREATE EVENT TRIGGER ${coveringTrigger} ON ddl_command_end
      WHEN TAG IN ('CREATE TABLE', 'CREATE TABLE AS', 'SELECT INTO')
      EXECUTE FUNCTION ${schema}.cover_new_tables()`,
  },
  {
    name: 'datastore_dumper_tell',
    create: `CREATE EVENT TRIGGER datastore_dumper_tell ON ddl_command_end
      WHEN TAG IN ('CREATE TABLE', 'CREATE TABLE AS', 'SELECT INTO', 'ALTER TABLE', 'COMMENT')
      EXECUTE FUNCTION ${schema}.tell_definitions()`,
  },
  {
    name: 'datastore_dumper_tell_dropped',
    create: `CREATE EVENT TRIGGER datastore_dumper_tell_dropped ON sql_drop
      EXECUTE FUNCTION ${schema}.tell_definitions()`,
  },
];

const createEventTriggers = `DO $events$
BEGIN
${eventTriggers
  .map(
    ({
      name,
      create,
    }) => `  IF NOT EXISTS (SELECT FROM pg_catalog.pg_event_trigger WHERE evtname = '${name}') THEN
    ${create};
  END IF;`,
  )
  .join('\n')}
END $events$;`;
