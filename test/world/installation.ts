/**
 * An installation as an operator has it, without the service: a DataStore with tables and the change journal, a state
 * database, a blob store, and the settings that lead to them. The layer above a fresh database, below a running service.
 */
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { pathToFileURL } from 'node:url';
import { Client, type Pool } from 'pg';
import type { BlobStore } from '../../src/blob-store/blob-store.ts';
import { openBlobStore } from '../../src/blob-store/open.ts';
import { installTriggers } from '../../src/change/journal.ts';
import { readPublished, type Manifest } from '../../src/manifest.ts';
import { createPool } from '../../src/postgres/pool.ts';
import { openState, type State } from '../../src/state/state.ts';
import { asAdmin, freshDatabase, type Database, type DatabaseOptions } from './postgres.ts';
import type { S3Server } from './s3.ts';

export type Settings = Readonly<Record<string, string>>;

export interface InstallationOptions extends DatabaseOptions {
  /** Without it no change journal is installed; with `superuser` new tables are attached at once. */
  readonly journal?: boolean | 'superuser';
  /** Blobs go to a new bucket of this server instead of a directory. */
  readonly s3?: S3Server;
  readonly settings?: Settings;
}

export interface Installation {
  readonly database: Database;
  readonly store: BlobStore;
  /** Where databases and blobs are, and nothing else. */
  readonly addresses: Settings;
  /** Settings of a service on it: everything public, published at once. */
  readonly settings: Settings;
  /** One connection more, of the tables' owner unless another URL is given. */
  connect(url?: string): Promise<Client>;
  openPool(options: { applicationName: string; size?: number; url?: string }): Pool;
  openState(): Promise<State>;
  /** Run SQL as the owner of the tables. */
  asOwner(sql: string): Promise<void>;
  createTable(name: string, rows: number): Promise<void>;
  manifest(id: string): Promise<Manifest | null>;
  /** Undone at the end, in the opposite order. */
  atEnd(step: () => unknown): void;
  end(): Promise<void>;
}

/** What is opened through it is closed by `end`, which throws when a connection to its databases was left open. */
export async function installationFixture(options: InstallationOptions = {}): Promise<Installation> {
  const undo: (() => unknown)[] = [];
  const database = await freshDatabase(options);
  undo.push(() => database.drop());
  const directory = await mkdtemp(path.join(tmpdir(), 'dumper-blobs-'));
  undo.push(() => rm(directory, { recursive: true, force: true }));
  const addresses = await addressesOf(database, directory, options.s3);
  const store = openBlobStore(addresses['DUMPER_BLOB_STORE'] ?? '', {
    environment: addresses,
    signingSecret: 'a secret of the tests',
  });
  undo.push(() => store.close());
  if (options.journal !== false) await installJournal(database, options.journal === 'superuser');
  return {
    ...openersOf(database, undo),
    database,
    store,
    addresses,
    settings: { ...addresses, ...readilyPublished, ...options.settings },
    manifest: async (id) => (await readPublished(store, id))?.manifest ?? null,
    atEnd: (step) => void undo.push(step),
    end: async () => {
      for (const step of undo.splice(0).toReversed()) await step();
    },
  };
}

async function addressesOf(
  database: Database,
  directory: string,
  s3: S3Server | undefined,
): Promise<Settings> {
  const blobs = s3
    ? { ...s3.environment, DUMPER_BLOB_STORE: `s3://${await s3.createBucket()}/dumps` }
    : { DUMPER_BLOB_STORE: pathToFileURL(directory).href };
  return {
    CKAN_DATASTORE_READ_URL: database.readUrl,
    CKAN_DATASTORE_WRITE_URL: database.writeUrl,
    DUMPER_STATE_URL: database.stateUrl,
    ...blobs,
  };
}

const readilyPublished: Settings = {
  DUMPER_AUTHORIZE: 'off',
  DUMPER_QUIET_SECONDS: '0',
  DUMPER_HOT_TABLE_FACTOR: '0',
  DUMPER_HOST: '127.0.0.1',
  DUMPER_PORT: '0',
};

async function installJournal({ writeUrl, adminUrl }: Database, withSuperuser: boolean): Promise<void> {
  const rights = { readRole: 'datastore_default', lockSeconds: 5 };
  await asAdmin(writeUrl, (owner) =>
    withSuperuser
      ? asAdmin(adminUrl, (superuser) => installTriggers(owner, { ...rights, superuser }))
      : installTriggers(owner, rights),
  );
}

/** Whatever has a life is closed at the end, in the opposite order. */
function openersOf(
  database: Database,
  undo: (() => unknown)[],
): Pick<Installation, 'connect' | 'openPool' | 'openState' | 'asOwner' | 'createTable'> {
  const asOwner = async (sql: string): Promise<void> => {
    await asAdmin(database.writeUrl, (owner) => owner.query(sql));
  };
  return {
    connect: async (url = database.writeUrl) => {
      const client = new Client({ connectionString: url, application_name: 'test client' });
      client.on('error', () => undefined);
      await client.connect();
      undo.push(() => client.end());
      return client;
    },
    openPool: ({ applicationName, size = 4, url = database.readUrl }) => {
      const pool = createPool({ url, applicationName, size, onIdleError: () => undefined });
      undo.push(() => pool.end());
      return pool;
    },
    openState: async () => {
      const state = await openState({ url: database.stateUrl, onIdleError: () => undefined });
      undo.push(() => state.close());
      return state;
    },
    asOwner,
    createTable: (name, rows) =>
      asOwner(`CREATE TABLE public."${name}" (_id serial PRIMARY KEY, _full_text tsvector, name text, n numeric);
        INSERT INTO public."${name}" (name, n) SELECT repeat('row ' || i, 20), i / 4.0 FROM generate_series(1, ${rows}) i`),
  };
}
