/** What `doctor` examines in Postgres: the DataStore by both roles, the journal, the clock, the state database. */
import { Client } from 'pg';
import { checkDatabase } from '../../app/readiness.ts';
import { journalStatus } from '../../change/journal.ts';
import type { AppContext } from '../../app/context.ts';
import { DumperError } from '../../errors.ts';
import type { Queryable } from '../../postgres/pool.ts';
import { allTables } from '../../postgres/revision.ts';
import { openState } from '../../state/state.ts';
import type { Examination, LeftOut } from './examination.ts';

/** The subject that everything about the DataStore needs. */
const dataStore = 'DataStore';
const writeRole = 'DataStore, write role';
const readUrlAdvice = 'check CKAN_DATASTORE_READ_URL: it is ckan.datastore.read_url of CKAN';

export function examinationsOfDatabases(context: AppContext): Examination[] {
  const { config, readPool } = context;
  const { CKAN_DATASTORE_WRITE_URL: writeUrl, DUMPER_STATE_URL: stateUrl } = config;
  const noWriteUrl =
    writeUrl === undefined
      ? 'CKAN_DATASTORE_WRITE_URL is not set: triggers cannot be installed or kept up'
      : null;
  return [
    {
      subject: dataStore,
      examine: () => examineDataStore(readPool),
      advice: readUrlAdvice,
      leftOut: null,
    },
    {
      subject: 'DataStore, read role',
      examine: () => examineReadRole(context),
      advice: `${readUrlAdvice}; the role needs SELECT on the tables (ckan datastore set-permissions) and nothing more`,
      leftOut: null,
      needs: [dataStore],
    },
    {
      subject: 'change journal',
      examine: () => examineJournal(context),
      advice:
        'check CKAN_DATASTORE_READ_URL; run install-triggers with it, which gives that role the right to read the journal',
      leftOut: null,
      needs: [dataStore],
    },
    {
      subject: writeRole,
      examine: () => withClient(writeUrl ?? '', (client) => examineWriteRole(client)),
      advice: 'check CKAN_DATASTORE_WRITE_URL; it must be the role that owns the tables',
      leftOut: noWriteUrl,
    },
    {
      subject: 'DataStore, one database',
      examine: () => withClient(writeUrl ?? '', (client) => examineOneDatabase(readPool, client)),
      advice: 'both URLs must lead to the same database: check server, port and name in them',
      leftOut: noWriteUrl,
      needs: [dataStore, writeRole],
    },
    {
      subject: 'state database',
      examine: () => examineState(stateUrl ?? ''),
      advice: 'check DUMPER_STATE_URL; its role must own the database or be allowed to create schemas in it',
      leftOut: stateUrl === undefined ? 'DUMPER_STATE_URL is not set: nothing can be published' : null,
    },
    {
      subject: 'clock',
      examine: () => examineClock(context),
      advice: 'synchronise the clocks (NTP): signed URLs and notices depend on them',
      leftOut: null,
      needs: [dataStore],
    },
  ];
}

/** `package`, `resource` and `user` are CKAN's own tables, `_table_metadata` is the DataStore's view. */
async function examineDataStore(db: Queryable): Promise<string> {
  const { rows } = await db.query<{ name: string; version: string; main: boolean }>(
    `SELECT current_database() AS name, current_setting('server_version') AS version,
       to_regclass('public.package') IS NOT NULL AND to_regclass('public.resource') IS NOT NULL
         AND to_regclass('public."user"') IS NOT NULL AND to_regclass('public._table_metadata') IS NULL AS main`,
  );
  const [row] = rows;
  if (row?.main !== false) {
    const fault = `the database ${row?.name} is CKAN's main database, with users and datasets`;
    throw new DumperError('CONFIGURATION', `${fault}, not the DataStore`);
  }
  return `the database ${row.name} on Postgres ${row.version} answers`;
}

async function examineReadRole({ readPool }: AppContext): Promise<string> {
  const { rows } = await readPool.query<{ role: string; superuser: boolean; writes: boolean }>(
    `SELECT current_user AS role, rolsuper AS superuser,
       EXISTS (SELECT FROM pg_class c WHERE c.relnamespace = 'public'::regnamespace AND c.relkind = 'r'
         AND has_table_privilege(c.oid, 'INSERT')) AS writes
     FROM pg_roles WHERE rolname = current_user`,
  );
  const [row] = rows;
  if (row?.superuser) {
    const danger = 'it reads, and may change, everything on that server';
    throw new DumperError('CONFIGURATION', `${row.role} is a superuser: ${danger}`);
  }
  const tables = await allTables(readPool);
  const unreadable = await unreadableTables(readPool, [...tables.keys()]);
  if (unreadable.length > 0) {
    const all = `${unreadable.length} of ${tables.size} tables`;
    throw new DumperError('CONFIGURATION', `${row?.role} may not read ${all}, such as ${unreadable[0]}`);
  }
  const caution = row?.writes ? '; it may write, which it need not' : '';
  return `${row?.role} reads ${tables.size} tables${caution}`;
}

async function unreadableTables(db: Queryable, ids: readonly string[]): Promise<string[]> {
  const { rows } = await db.query<{ id: string }>(
    `SELECT c.relname::text AS id FROM pg_class c
     WHERE c.relnamespace = 'public'::regnamespace AND c.relname = ANY ($1)
       AND NOT (has_schema_privilege(c.relnamespace, 'USAGE') AND has_table_privilege(c.oid, 'SELECT'))
     ORDER BY id`,
    [ids],
  );
  return rows.map(({ id }) => id);
}

async function examineJournal({ readPool }: AppContext): Promise<string | LeftOut> {
  const status = await journalStatus(readPool);
  if (!status.installed) {
    const meanwhile = 'freshness is told by statistics counters, with their lag';
    return { leftOut: `not installed: ${meanwhile}; install-triggers makes it exact` };
  }
  if (!status.readable) {
    const reason = 'it is installed, but the role of CKAN_DATASTORE_READ_URL may not read it';
    throw new DumperError('CONFIGURATION', `${reason}: no table is exact`);
  }
  const tables = [...(await allTables(readPool)).values()];
  const exact = tables.filter((table) => table.tier === 'exact').length;
  return `covers ${exact} of ${tables.length} tables`;
}

async function withClient<Value>(url: string, work: (client: Client) => Promise<Value>): Promise<Value> {
  const client = new Client({ connectionString: url, connectionTimeoutMillis: 5000, query_timeout: 10_000 });
  client.on('error', () => undefined);
  try {
    await client.connect();
    return await work(client);
  } finally {
    await client.end().catch(() => undefined);
  }
}

async function examineWriteRole(client: Queryable): Promise<string> {
  const { rows } = await client.query<{ role: string; foreign: number }>(
    `SELECT current_user AS role, count(*) FILTER (WHERE NOT pg_has_role(c.relowner, 'USAGE'))::int AS foreign
     FROM pg_class c WHERE c.relnamespace = 'public'::regnamespace AND c.relkind = 'r'
       AND NOT starts_with(c.relname::text, '_')`,
  );
  const [row] = rows;
  if (row && row.foreign > 0) {
    throw new DumperError('CONFIGURATION', `${row.role} does not own ${row.foreign} of the tables`);
  }
  return `${row?.role} owns the tables`;
}

async function examineOneDatabase(read: Queryable, write: Queryable): Promise<string> {
  const [reading, writing] = [await identityOf(read), await identityOf(write)];
  if (reading.oid === writing.oid && reading.system === writing.system) {
    return `both roles are in the database ${reading.name}`;
  }
  const fault = `CKAN_DATASTORE_WRITE_URL leads to another database (${writing.name})`;
  throw new DumperError('CONFIGURATION', `${fault} than CKAN_DATASTORE_READ_URL (${reading.name})`);
}

interface Identity {
  readonly name: string;
  readonly oid: string;
  readonly system: string;
}

/** A standby has its primary's. Where the control data may not be read, the start of the server tells servers apart. */
async function identityOf(db: Queryable): Promise<Identity> {
  const { rows } = await db.query<Identity>(
    `SELECT current_database() AS name, oid::text,
       CASE WHEN has_function_privilege('pg_control_system()', 'EXECUTE') THEN
         (SELECT system_identifier::text FROM pg_control_system()) ELSE pg_postmaster_start_time()::text END AS system
     FROM pg_database WHERE datname = current_database()`,
  );
  const [row] = rows;
  if (row === undefined) throw new DumperError('POSTGRES_UNAVAILABLE', 'Postgres does not name its database');
  return row;
}

async function examineState(url: string): Promise<string> {
  const state = await openState({ url, onIdleError: () => undefined });
  const records = await checkDatabase(state.pool)
    .then(() => state.publications.all())
    .finally(() => state.close());
  return `schema is up to date; ${records.size} tables are known`;
}

/** Farthest that two clocks may be apart, in seconds. */
const mostSkewSeconds = 30;

async function examineClock({ readPool }: AppContext): Promise<string> {
  const { rows } = await readPool.query<{ now: Date }>('SELECT clock_timestamp() AS now');
  const skewSeconds = Math.abs(Date.now() - (rows[0]?.now.getTime() ?? 0)) / 1000;
  if (skewSeconds > mostSkewSeconds) {
    throw new DumperError('CONFIGURATION', `${skewSeconds.toFixed(0)} s apart from the clock of Postgres`);
  }
  return `within ${Math.max(1, Math.ceil(skewSeconds))} s of the clock of Postgres`;
}
