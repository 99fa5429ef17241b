/** What the tests of the service's life share: a DataStore with tables, a directory store, the service in this process. */
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { pathToFileURL } from 'node:url';
import { startService, type Service, type ServiceOptions } from '../../src/app/service.ts';
import { openDirectory } from '../../src/blob-store/directory.ts';
import { installTriggers } from '../../src/change/journal.ts';
import { readConfig } from '../../src/config/config.ts';
import { readPublished, type Manifest } from '../../src/manifest.ts';
import { createLog } from '../../src/log.ts';
import { asAdmin, freshDatabase, type Database } from '../world/postgres.ts';

export type Settings = Readonly<Record<string, string>>;

export interface Living {
  readonly database: Database;
  /** Settings of a service on this world: everything public, published at once, a directory store. */
  readonly settings: Settings;
  /** Run SQL as the owner of the tables. */
  asOwner(sql: string): Promise<void>;
  createTable(name: string, rows: number): Promise<void>;
  /** Start a service in this process; returns its address. */
  start(settings?: Settings, options?: ServiceOptions): Promise<Running>;
  manifest(id: string): Promise<Manifest | null>;
  /** Undone at the end, in the opposite order. */
  atEnd(step: () => Promise<unknown>): void;
  end(): Promise<void>;
}

export interface Running {
  readonly base: string;
  readonly sidecar: Service;
}

/** `server`: another Postgres than the run's. */
export async function living(options: { readonly server?: string } = {}): Promise<Living> {
  const undo: (() => Promise<unknown>)[] = [];
  const database = await freshDatabase(options);
  undo.push(() => database.drop());
  const directory = await mkdtemp(path.join(tmpdir(), 'dumper-life-'));
  undo.push(() => rm(directory, { recursive: true, force: true }));
  await asAdmin(database.writeUrl, (owner) =>
    installTriggers(owner, { readRole: 'datastore_default', lockSeconds: 5 }),
  );
  const settings: Settings = {
    CKAN_DATASTORE_READ_URL: database.readUrl,
    CKAN_DATASTORE_WRITE_URL: database.writeUrl,
    DUMPER_STATE_URL: database.stateUrl,
    DUMPER_BLOB_STORE: pathToFileURL(directory).href,
    DUMPER_AUTHORIZE: 'off',
    DUMPER_QUIET_SECONDS: '0',
    DUMPER_HOT_TABLE_FACTOR: '0',
    DUMPER_HOST: '127.0.0.1',
    DUMPER_PORT: '0',
  };
  const store = openDirectory({ directory, signingSecret: 'a secret of the tests', baseUrl: '' });
  const asOwner = async (sql: string): Promise<void> => {
    await asAdmin(database.writeUrl, (owner) => owner.query(sql));
  };
  return {
    database,
    settings,
    asOwner,
    createTable: (name, rows) =>
      asOwner(`CREATE TABLE public."${name}" (_id serial PRIMARY KEY, _full_text tsvector, name text, n numeric);
        INSERT INTO public."${name}" (name, n) SELECT repeat('row ' || i, 20), i / 4.0 FROM generate_series(1, ${rows}) i`),
    start: async (given = {}, sidecarOptions = {}) => {
      const environment = { ...settings, ...given };
      const sidecar = await startService(environment, readConfig(environment, ['read', 'publish']), {
        log: createLog('silent'),
        ...sidecarOptions,
      });
      let stopping: Promise<void> | null = null;
      const stop = (): Promise<void> => (stopping ??= sidecar.stop());
      undo.push(stop);
      return { base: `http://127.0.0.1:${sidecar.port}`, sidecar: { ...sidecar, stop } };
    },
    manifest: async (id) => (await readPublished(store, id))?.manifest ?? null,
    atEnd: (step) => void undo.push(step),
    end: async () => {
      for (const step of undo.splice(0).toReversed()) await step();
    },
  };
}
