/** What stands around the answering service in its tests: a database, a small CKAN, a directory store, pools, state. */
import { randomBytes } from 'node:crypto';
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { pathToFileURL } from 'node:url';
import type { Pool } from 'pg';
import type { BlobStore } from '../../src/blob-store/blob-store.ts';
import { openBlobStore } from '../../src/blob-store/open.ts';
import { createCkan, type Ckan } from '../../src/ckan/client.ts';
import { ckanProfile, type CkanProfile, type CkanVersion } from '../../src/ckan/profile.ts';
import { readConfig, type Config } from '../../src/config/config.ts';
import { createPool } from '../../src/postgres/pool.ts';
import type { ServeDeps } from '../../src/serve/context.ts';
import { openState, type State } from '../../src/state/state.ts';
import {
  rightsOver,
  startCkan,
  type CkanOptions,
  type StandInCkan,
  type TableRights,
} from '../world/ckan.ts';
import { freshDatabase, type Corpus, type Database } from '../world/postgres.ts';

export interface ServingOptions {
  readonly corpus?: Corpus;
  /** Whose bytes; 2.12 unless given. */
  readonly version?: CkanVersion;
  readonly environment?: Readonly<Record<string, string>>;
  readonly parts?: Partial<ServeDeps>;
  /** Has ckanext-datastore-authz. */
  readonly authorize?: boolean;
  /** Other actions of the small CKAN, or other answers of its own. */
  readonly actions?: CkanOptions['actions'];
  /** Another way to the DataStore for live answers than straight to it. */
  readonly liveUrl?: (database: Database) => Promise<string>;
  /** The store as answers see it; publishing goes straight to it. */
  readonly storeSeen?: (store: BlobStore) => BlobStore;
}

/** What stands around the service. */
export interface Neighbours {
  readonly options: ServingOptions;
  readonly database: Database;
  readonly directory: string;
  readonly tables: Map<string, TableRights>;
  readonly ckan: StandInCkan;
  readonly config: Config;
  readonly blobSecret: string;
  readonly store: BlobStore;
  readonly state: State;
  readonly client: Ckan;
  readonly profile: CkanProfile;
  readonly readPool: Pool;
  readonly livePool: Pool;
}

export async function openNeighbours(options: ServingOptions): Promise<Neighbours> {
  const database = await freshDatabase(options.corpus === undefined ? {} : { corpus: options.corpus });
  const tables = new Map<string, TableRights>();
  const ckan = await startCkan({
    permissions: rightsOver(tables),
    authorize: options.authorize ?? false,
    ...(options.actions === undefined ? {} : { actions: options.actions }),
    dataset: (id) => tables.get(id) ?? { private: false, state: 'active' },
  });
  const directory = await mkdtemp(path.join(tmpdir(), 'dumper-serve-'));
  const config = readConfig({
    CKAN_DATASTORE_READ_URL: database.readUrl,
    CKAN_SITE_URL: ckan.url,
    DUMPER_STATE_URL: database.stateUrl,
    DUMPER_BLOB_STORE: pathToFileURL(directory).href,
    DUMPER_COUNTER_MARGIN_SECONDS: '0',
    DUMPER_DECISION_CACHE_SECONDS: '0',
    DUMPER_CKAN_TIMEOUT_SECONDS: '1',
    ...options.environment,
  });
  const blobSecret = randomBytes(16).toString('hex');
  const open = (applicationName: string, url: string, size: number): Pool =>
    createPool({ url, applicationName, size, onIdleError: () => undefined });
  const liveUrl = (await options.liveUrl?.(database)) ?? database.readUrl;
  return {
    options,
    database,
    directory,
    tables,
    ckan,
    config,
    blobSecret,
    store: openBlobStore(config.DUMPER_BLOB_STORE ?? '', { signingSecret: blobSecret }),
    state: await openState({ url: database.stateUrl, onIdleError: () => undefined }),
    client: createCkan({
      siteUrl: ckan.url,
      timeoutSeconds: config.DUMPER_CKAN_TIMEOUT_SECONDS,
      now: Date.now,
    }),
    profile: ckanProfile(options.version ?? '2.12'),
    readPool: open('test read', database.readUrl, 4),
    livePool: open('test live', liveUrl, config.DUMPER_LIVE_SLOTS),
  };
}

export async function closeNeighbours(around: Neighbours): Promise<void> {
  const { client, ckan, readPool, livePool, state, store, database, directory } = around;
  client.close();
  await ckan.stop();
  await Promise.all([readPool.end(), livePool.end(), state.close(), store.close()]);
  await database.drop();
  await rm(directory, { recursive: true, force: true });
}
