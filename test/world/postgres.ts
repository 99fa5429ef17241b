/**
 * Fresh databases on the run's Postgres, with CKAN's two roles: `ckan_default` owns the tables, `datastore_default`
 * reads them. With a corpus, a copy of a real CKAN's DataStore, loaded once a run into a template.
 */
import { randomBytes } from 'node:crypto';
import path from 'node:path';
import { Client } from 'pg';
import { loadDataStore } from './load-dump.ts';
import { eventually } from './eventually.ts';
import { metadataView } from '../../src/demo/fill.ts';

export { startPostgres, type PostgresServer } from './postgres-server.ts';

export type Corpus = '2.11.6' | '2.12.0';

export interface Database {
  /** Superuser. */
  readonly adminUrl: string;
  /** Role `datastore_default`: may SELECT every table of schema `public`, those created later too. */
  readonly readUrl: string;
  /** Role `ckan_default`: owns database and tables. */
  readonly writeUrl: string;
  /** A second, empty database, owned by a role of its own. */
  readonly stateUrl: string;
  /** Remove both; throws when a connection to them was left open. */
  drop(): Promise<void>;
}

export interface DatabaseOptions {
  readonly corpus?: Corpus;
  /** A folder of `roles.sql` and `datastore.sql.gz` to load instead. */
  readonly folder?: string;
  /** Superuser's URL of another server than the run's. */
  readonly server?: string;
}

const fixtures = path.join(import.meta.dirname, '../fixtures/conformance');
const locale = `ENCODING 'UTF8' LC_COLLATE 'C.UTF-8' LC_CTYPE 'C.UTF-8' TEMPLATE template0`;
/** Any fixed number: one loader of roles and templates at a time. */
const preparationLock = 7_264_001;

export async function freshDatabase(options: DatabaseOptions = {}): Promise<Database> {
  const server = options.server ?? process.env['TEST_POSTGRES_URL'];
  if (!server) throw new Error('no Postgres: run by vitest, or pass `server`');
  const name = nameOf(randomBytes(6).toString('hex'));
  const folder = options.folder ?? (options.corpus ? path.join(fixtures, options.corpus) : null);
  const urls = urlsOf(server, name);
  await asAdmin(server, async (admin) => {
    const template = await prepared(admin, server, folder);
    const origin = template ? `TEMPLATE "${template}"` : locale;
    await admin.query(`CREATE DATABASE "${name}" OWNER ckan_default ${origin}`);
    await admin.query(`CREATE DATABASE "${name}_state" OWNER datastore_dumper ${locale}`);
    await admin.query(`ALTER DATABASE "${name}" SET timezone = 'UTC'`);
  });
  if (folder === null) await asAdmin(urls.writeUrl, (owner) => owner.query(emptyDataStore));
  return { ...urls, drop: () => drop(server, name) };
}

/** Run `work` on a connection of its own to `url`. */
export async function asAdmin<Result>(
  url: string,
  work: (client: Client) => Promise<Result>,
): Promise<Result> {
  const client = new Client({ connectionString: url, application_name: 'test-world' });
  await client.connect();
  try {
    return await work(client);
  } finally {
    await client.end();
  }
}

/** Remove every database of this run, for a server that outlives it. */
export async function dropDatabasesOfRun(server: string): Promise<void> {
  await asAdmin(server, async (admin) => {
    const { rows } = await admin.query<{ datname: string }>(
      'SELECT datname FROM pg_database WHERE starts_with(datname, $1)',
      [nameOf('')],
    );
    for (const { datname } of rows) await admin.query(`DROP DATABASE IF EXISTS "${datname}" WITH (FORCE)`);
  });
}

function nameOf(part: string): string {
  return `dumper_${process.env['TEST_RUN_ID'] ?? process.pid}_${part}`;
}

function urlsOf(server: string, name: string): Omit<Database, 'drop'> {
  const url = (database: string, user?: string): string => {
    const made = new URL(server);
    made.pathname = `/${database}`;
    if (user) [made.username, made.password] = [user, 'pass'];
    return made.href;
  };
  return {
    adminUrl: url(name),
    readUrl: url(name, 'datastore_default'),
    writeUrl: url(name, 'ckan_default'),
    stateUrl: url(`${name}_state`, 'datastore_dumper'),
  };
}

/** Roles, and the template that holds `folder`; returns its name. One process at a time. */
async function prepared(admin: Client, server: string, folder: string | null): Promise<string | null> {
  await admin.query('SELECT pg_advisory_lock($1)', [preparationLock]);
  try {
    await admin.query(roles);
    return folder === null ? null : await template(admin, server, folder);
  } finally {
    await admin.query('SELECT pg_advisory_unlock($1)', [preparationLock]);
  }
}

async function template(admin: Client, server: string, folder: string): Promise<string> {
  const name = nameOf(`template_${path.basename(folder).replaceAll(/\W/g, '_')}`);
  const known = await admin.query('SELECT FROM pg_database WHERE datname = $1', [name]);
  if (known.rowCount !== 0) return name;
  const loading = `${name}_loading`;
  await admin.query(`DROP DATABASE IF EXISTS "${loading}" WITH (FORCE)`);
  await admin.query(`CREATE DATABASE "${loading}" OWNER ckan_default ${locale}`);
  await asAdmin(urlsOf(server, loading).adminUrl, (client) => loadDataStore(client, folder, 'ckan_default'));
  await eventually(
    'the loader has left the template',
    async () => (await connectionsOf(admin, loading)).length === 0,
    { seconds: 60 },
  );
  await admin.query(`ALTER DATABASE "${loading}" RENAME TO "${name}"`);
  return name;
}

async function drop(server: string, name: string): Promise<void> {
  await asAdmin(server, async (admin) => {
    let left: string[] = [];
    const gone = eventually(
      'every connection is closed',
      async () => {
        left = [...(await connectionsOf(admin, name)), ...(await connectionsOf(admin, `${name}_state`))];
        return left.length === 0;
      },
      { seconds: 5 },
    ).then(
      () => true,
      () => false,
    );
    const clean = await gone;
    await admin.query(`DROP DATABASE IF EXISTS "${name}" WITH (FORCE)`);
    await admin.query(`DROP DATABASE IF EXISTS "${name}_state" WITH (FORCE)`);
    if (!clean) throw new Error(`connections left open: ${left.join(', ')}`);
  });
}

async function connectionsOf(admin: Client, database: string): Promise<string[]> {
  const { rows } = await admin.query<{ who: string }>(
    `SELECT format('%s (%s: %s)', application_name, state, left(query, 60)) AS who FROM pg_stat_activity
     WHERE datname = $1 AND backend_type = 'client backend' AND pid <> pg_backend_pid()`,
    [database],
  );
  return rows.map(({ who }) => who);
}

const roles = `DO $$
DECLARE wanted text;
BEGIN
  FOREACH wanted IN ARRAY ARRAY['ckan_default', 'datastore_default', 'datastore_dumper'] LOOP
    IF NOT EXISTS (SELECT FROM pg_roles WHERE rolname = wanted) THEN
      EXECUTE format('CREATE ROLE %I LOGIN PASSWORD ''pass''', wanted);
    END IF;
  END LOOP;
END $$`;

/** What CKAN's set-permissions leaves in a DataStore without tables; the view's columns are CKAN's. */
const emptyDataStore = `
ALTER DEFAULT PRIVILEGES IN SCHEMA public GRANT SELECT ON TABLES TO datastore_default;
${metadataView}`;
