/** The change act on a real database and a real directory store, with the product's own publisher. */
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { Client, Pool } from 'pg';
import type { BlobStore } from '../../src/blob-store/blob-store.ts';
import { openDirectory } from '../../src/blob-store/directory.ts';
import { startChange, type Change } from '../../src/change/change.ts';
import { installTriggers } from '../../src/change/journal.ts';
import { ckanProfile } from '../../src/ckan/profile.ts';
import { readConfig, type Config } from '../../src/config/config.ts';
import { readPublished, type Manifest } from '../../src/manifest.ts';
import type { Publisher } from '../../src/publish/publisher.ts';
import { createLog } from '../../src/log.ts';
import { createMetrics } from '../../src/metrics.ts';
import { revisionToken, tableState } from '../../src/postgres/revision.ts';
import { openState, type State } from '../../src/state/state.ts';
import { asResourceId, type ResourceId } from '../../src/postgres/table.ts';
import { publishWorld } from '../publish/publishing.ts';
import { freshDatabase, type Database } from '../world/postgres.ts';

export const profile = ckanProfile('2.12');

export interface ActWorld {
  readonly database: Database;
  readonly write: Client;
  readonly store: BlobStore;
  readonly state: State;
  /** Every publication that was attempted, in order. */
  readonly attempts: ResourceId[];
  /** Called at the begin of each publication; a rejection is its failure. */
  beforePublish: (id: ResourceId) => Promise<void>;
  createTable(name: string, rows?: number): Promise<ResourceId>;
  start(settings?: Record<string, string>, working?: boolean): Promise<Change>;
  manifest(id: ResourceId): Promise<Manifest | null>;
  /** Is what is published the table as it is? */
  isFresh(id: ResourceId): Promise<boolean>;
  stop(): Promise<void>;
}

export async function actWorld(options: { readonly journal: boolean }): Promise<ActWorld> {
  const database = await freshDatabase();
  const directory = await mkdtemp(path.join(tmpdir(), 'dumper-act-'));
  const store = openDirectory({ directory, signingSecret: 'a secret of the tests', baseUrl: '' });
  const write = new Client({ connectionString: database.writeUrl });
  await write.connect();
  if (options.journal) await installTriggers(write, { readRole: 'datastore_default', lockSeconds: 5 });
  const pools = [database.readUrl, database.writeUrl].map(
    (url) => new Pool({ connectionString: url, max: 4 }),
  );
  const [read, owner] = pools as [Pool, Pool];
  const state = await openState({ url: database.stateUrl, onIdleError: () => undefined });
  const changes: Change[] = [];
  const attempts: ResourceId[] = [];
  const world: ActWorld = {
    database,
    write,
    store,
    state,
    attempts,
    beforePublish: async () => undefined,
    createTable: async (name, rows = 1) => {
      await write.query(`CREATE TABLE "${name}" (_id serial PRIMARY KEY, _full_text tsvector, a text);
        INSERT INTO "${name}" (a) SELECT n::text FROM generate_series(1, ${rows}) n`);
      return asResourceId(name);
    },
    start: async (settings = {}, working = true) => {
      const config = readConfig({ ...settingsOf(database, directory), ...settings });
      const change = await startChange({
        config,
        log: createLog('silent'),
        read,
        write: owner,
        state,
        store,
        profile: () => profile,
        now: () => new Date(),
        publisher: working ? publisherOf(world, config, read) : null,
        taskStatus: null,
      });
      changes.push(change);
      return change;
    },
    manifest: async (id) => (await readPublished(store, id))?.manifest ?? null,
    isFresh: async (id) => {
      const now = await tableState(read, id);
      return now !== null && (await world.manifest(id))?.token === revisionToken(now, profile);
    },
    stop: () => endAll({ changes, state, pools, write, store, directory, database }),
  };
  return world;
}

interface Parts extends Pick<ActWorld, 'state' | 'write' | 'store' | 'database'> {
  readonly changes: readonly Change[];
  readonly pools: readonly Pool[];
  readonly directory: string;
}

async function endAll({ changes, state, pools, write, store, directory, database }: Parts): Promise<void> {
  await Promise.all(changes.map((change) => change.stop(1)));
  await state.close();
  await Promise.all(pools.map((pool) => pool.end()));
  await write.end();
  await store.close();
  await rm(directory, { recursive: true });
  await database.drop();
}

const settingsOf = (database: Database, directory: string): Record<string, string> => ({
  CKAN_DATASTORE_READ_URL: database.readUrl,
  DUMPER_STATE_URL: database.stateUrl,
  DUMPER_BLOB_STORE: `file://${directory}`,
  DUMPER_AUTHORIZE: 'off',
  DUMPER_QUIET_SECONDS: '0',
  DUMPER_HOT_TABLE_FACTOR: '0',
  DUMPER_SWEEP_CRON: '0 0 1 1 *',
  DUMPER_NOTICE_SECRET: 'a secret of the tests',
});

const metrics = createMetrics();

function publisherOf(world: ActWorld, config: Config, pool: Pool): Publisher {
  const { state, store } = world;
  return {
    ...publishWorld({ pool, store, fence: state.fence, profile: () => profile }),
    variants: config.DUMPER_FORMATS,
    visibility: async (id) => {
      await world.beforePublish(id);
      return { public: true, underPublicPrefix: false };
    },
    onStep: (id, step) => {
      if (step === 'fenced') world.attempts.push(id);
    },
    fence: state.fence,
    profile: async () => profile,
    isLeader: async () => true,
    traced: { publish: (work) => work(), unpublish: (work) => work() },
    publications: state.publications,
    taskStatus: null,
    metrics,
    log: createLog('silent'),
  };
}
