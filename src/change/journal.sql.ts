/**
 * The SQL of the change journal, the source of exact revision tokens (promise P4). It lives in a schema of its own:
 * CKAN 2.11 and before take every table of schema `public` for a resource, and their purge command would drop it.
 */
import { journal } from '../postgres/revision.ts';

const { schema, rowTrigger, truncateTrigger, modulus } = journal;

/** Channel of NOTIFY; the payload is the table's name. */
export const changeChannel = 'datastore_dumper';

/** Run by the owner of the tables, any number of times, inside one transaction. */
export const journalObjects = `
CREATE TABLE IF NOT EXISTS ${schema}.change (relation oid NOT NULL, amount bigint NOT NULL);
CREATE INDEX IF NOT EXISTS change_by_relation ON ${schema}.change (relation) INCLUDE (amount);
COMMENT ON TABLE ${schema}.change IS 'datastore-dumper: one random amount per changing transaction and table';

-- One row per transaction and table, so that writers never wait for one another. What was seen already is remembered
-- in a setting of the transaction, which a savepoint rolls back together with the row. Nobody waits for listeners:
-- a commit fails when the notification queue is full, so nothing is added to one that fills up.
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

-- Put the triggers on one table: true if they were missing. ENABLE ALWAYS, so that sessions that replicate count too.
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

-- Keep one row per table and every sum as it was; forget tables that are gone. Safe at any time, twice at once too.
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
 * Run by a superuser: new tables are covered from birth, and definitions that change are told at once. The functions
 * act with the rights of whoever runs the command and never let it fail; they call nothing of a lesser role's.
 */
export const eventObjects = `
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
  RAISE WARNING 'datastore-dumper: a change was not told: %', SQLERRM;
END $tell$;`;

/** Name, event and function of the event triggers; Postgres has no CREATE OR REPLACE for them. */
export const eventTriggers: readonly { readonly name: string; readonly create: string }[] = [
  {
    name: 'datastore_dumper_cover',
    create: `CREATE EVENT TRIGGER datastore_dumper_cover ON ddl_command_end
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
