/** The change act on a real database and a real directory store, with the product's own publisher. */
import type { Client, Pool } from 'pg';
import type { BlobStore } from '../../src/blob-store/blob-store.ts';
import { startChange, type Change } from '../../src/change/change.ts';
import { ckanProfile } from '../../src/ckan/profile.ts';
import { readConfig, type Config } from '../../src/config/config.ts';
import type { Manifest } from '../../src/manifest.ts';
import type { Publisher } from '../../src/publish/publisher.ts';
import { createLog } from '../../src/log.ts';
import { createMetrics } from '../../src/metrics.ts';
import { revisionToken, tableState } from '../../src/postgres/revision.ts';
import type { State } from '../../src/state/state.ts';
import { asResourceId, type ResourceId } from '../../src/postgres/table.ts';
import { publishWorld } from '../publish/publishing.ts';
import { installationFixture, type Settings } from '../world/installation.ts';
import type { Database } from '../world/postgres.ts';

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
  const installation = await installationFixture({ ...options, settings });
  const { database, store } = installation;
  const write = await installation.connect();
  const read = installation.openPool({ applicationName: 'test read' });
  const owner = installation.openPool({ applicationName: 'test owner', url: database.writeUrl });
  const state = await installation.openState();
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
    start: async (more = {}, working = true) => {
      const config = readConfig({ ...installation.settings, ...more });
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
      installation.atEnd(() => change.stop(1));
      return change;
    },
    manifest: installation.manifest,
    isFresh: async (id) => {
      const now = await tableState(read, id);
      return now !== null && (await world.manifest(id))?.token === revisionToken(now, profile);
    },
    stop: installation.end,
  };
  return world;
}

const settings: Settings = {
  DUMPER_SWEEP_CRON: '0 0 1 1 *',
  DUMPER_NOTICE_SECRET: 'a secret of the tests',
};

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
