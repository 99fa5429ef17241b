/** The first act on a real database and a real directory store, with a publisher that writes empty blobs. */
import { createHash } from 'node:crypto';
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { Readable } from 'node:stream';
import { Client, Pool } from 'pg';
import type { BlobStore } from '../../src/blob-store/blob-store.ts';
import { openDirectory } from '../../src/blob-store/directory.ts';
import { startChange, type Change } from '../../src/change/change.ts';
import type { PublishRequest } from '../../src/change/worker.ts';
import { installTriggers } from '../../src/change/journal.ts';
import { ckanProfile } from '../../src/ckan/profile.ts';
import { readConfig } from '../../src/config/config.ts';
import {
  blobKey,
  manifestKey,
  manifestVersion,
  readPublished,
  revisionPrefix,
  writeManifest,
  type Manifest,
} from '../../src/manifest.ts';
import type { PublishOutcome } from '../../src/publish/publish.ts';
import { variants } from '../../src/format.ts';
import { createLog } from '../../src/log.ts';
import { revisionToken, settledState, tableState } from '../../src/postgres/revision.ts';
import { openState, type State } from '../../src/state/state.ts';
import { asResourceId, type ResourceId } from '../../src/postgres/table.ts';
import { freshDatabase, type Database } from '../world/postgres.ts';

export const profile = ckanProfile('2.12');

export interface ActWorld {
  readonly database: Database;
  readonly write: Client;
  readonly store: BlobStore;
  readonly state: State;
  /** Every publication that was attempted, in order. */
  readonly attempts: ResourceId[];
  /** Called before each attempt; a rejection is the publication's failure. */
  beforePublish: (id: ResourceId, signal: AbortSignal) => Promise<void>;
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
        working,
        publish: async (id, request) => {
          attempts.push(id);
          await world.beforePublish(id, request.signal);
          return publishManifest(world, read, id, request);
        },
        unpublish: async (id) => {
          await store.delete([manifestKey(id), ...keysOf(await world.manifest(id))]);
          return true;
        },
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

/** The order of `publish/publish.ts` with empty blobs: fence, state, blobs, manifest under the fence. */
async function publishManifest(
  { state, store }: ActWorld,
  read: Pool,
  id: ResourceId,
  { force }: PublishRequest,
): Promise<PublishOutcome> {
  const current = await readPublished(store, id);
  const generation = await state.fence.take(id, current?.manifest?.generation ?? 0);
  const before = await tableState(read, id);
  const inside = await tableState(read, id);
  if (inside === null) return { kind: 'gone' };
  const token = revisionToken(settledState(before, inside), profile);
  if (!force && current?.manifest?.token === token)
    return { kind: 'unchanged', manifest: current.manifest, generation };
  const revision = `${token.slice(0, 20)}-${generation.toString(16).padStart(8, '0')}`;
  const blobs = await putEmptyBlobs(store, id, revision);
  const manifest: Manifest = {
    version: manifestVersion,
    resource_id: id,
    revision,
    token,
    tier: inside.tier,
    generation,
    published_at: new Date().toISOString(),
    columns: [],
    rows: 0,
    public: true,
    build_seconds: 0.1,
    superseded: [],
    blobs,
  };
  const outcome = await state.fence.switchUnder(id, generation, () =>
    store.replaceSmall(
      manifestKey(id),
      writeManifest(manifest),
      'application/json',
      current?.version ?? null,
    ),
  );
  const hasSwitched = outcome.kind === 'done' && outcome.value === 'switched';
  await store.delete(keysOf(hasSwitched ? current?.manifest : manifest));
  return hasSwitched ? { kind: 'published', manifest, generation } : { kind: 'superseded' };
}

const keysOf = (manifest: Manifest | null | undefined): string[] =>
  Object.values(manifest?.blobs ?? {}).map(({ key }) => key);

async function putEmptyBlobs(store: BlobStore, id: string, revision: string): Promise<Manifest['blobs']> {
  const prefix = revisionPrefix(id, revision, false);
  const options = {
    contentType: 'x',
    contentDisposition: 'attachment',
    cacheControl: 'no-store',
    expectedBytes: 0,
    signal: new AbortController().signal,
  };
  const entries = variants.map(async (variant) => {
    const key = blobKey(prefix, id, variant);
    await store.put(key, Readable.from([]), options);
    return [variant, { key, bytes: 0, sha256: emptySha256, content_type: 'x' }] as const;
  });
  return Object.fromEntries(await Promise.all(entries));
}

const emptySha256 = createHash('sha256').digest('hex');
