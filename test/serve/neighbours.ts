/** What stands around the answering service in its tests: a database, a small CKAN, a directory store, pools, state. */
import { randomBytes } from 'node:crypto';
import type { Pool } from 'pg';
import type { BlobStore } from '../../src/blob-store/blob-store.ts';
import { openBlobStore } from '../../src/blob-store/open.ts';
import { createCkan, type Ckan } from '../../src/ckan/client.ts';
import { ckanProfile, type CkanProfile, type CkanVersion } from '../../src/ckan/profile.ts';
import { readConfig, type Config } from '../../src/config/config.ts';
import type { ServeDeps } from '../../src/serve/context.ts';
import type { State } from '../../src/state/state.ts';
import {
  rightsOver,
  startCkan,
  type CkanOptions,
  type FakeCkan,
  type TableRights,
} from '../world/fake-ckan.ts';
import { installationFixture, type Installation } from '../world/installation.ts';
import type { Corpus, Database } from '../world/postgres.ts';

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
  readonly installation: Installation;
  readonly tables: Map<string, TableRights>;
  readonly ckan: FakeCkan;
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
  // The exact tier: counters would move seconds after a table was made.
  const { corpus } = options;
  const installation = await installationFixture(corpus === undefined ? {} : { corpus });
  const { database } = installation;
  const tables = new Map<string, TableRights>();
  const ckan = await startCkan({
    permissions: rightsOver(tables),
    authorize: options.authorize ?? false,
    ...(options.actions === undefined ? {} : { actions: options.actions }),
    dataset: (id) => tables.get(id) ?? { private: false, state: 'active' },
  });
  installation.atEnd(() => ckan.stop());
  const config = readConfig({
    ...installation.addresses,
    CKAN_SITE_URL: ckan.url,
    DUMPER_COUNTER_MARGIN_SECONDS: '0',
    DUMPER_DECISION_CACHE_SECONDS: '0',
    DUMPER_CKAN_TIMEOUT_SECONDS: '1',
    ...options.environment,
  });
  const blobSecret = randomBytes(16).toString('hex');
  const store = openBlobStore(config.DUMPER_BLOB_STORE ?? '', { signingSecret: blobSecret });
  installation.atEnd(() => store.close());
  const client = createCkan({
    siteUrl: ckan.url,
    timeoutSeconds: config.DUMPER_CKAN_TIMEOUT_SECONDS,
    now: Date.now,
  });
  installation.atEnd(() => client.close());
  const liveUrl = (await options.liveUrl?.(database)) ?? database.readUrl;
  return {
    options,
    installation,
    database,
    tables,
    ckan,
    config,
    blobSecret,
    store,
    state: await installation.openState(),
    client,
    profile: ckanProfile(options.version ?? '2.12'),
    readPool: installation.openPool({ applicationName: 'test read' }),
    livePool: installation.openPool({
      applicationName: 'test live',
      url: liveUrl,
      size: config.DUMPER_LIVE_SLOTS,
    }),
  };
}
