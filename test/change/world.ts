/** The first act on a real database and a real directory store, with a publisher that writes empty blobs. */
import { createHash } from 'node:crypto';
import { Readable } from 'node:stream';
import type { Client, Pool } from 'pg';
import type { BlobStore } from '../../src/blob-store/blob-store.ts';
import { startChange, type Change } from '../../src/change/change.ts';
import type { PublishRequest } from '../../src/change/worker.ts';
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
import type { State } from '../../src/state/state.ts';
import { asResourceId, type ResourceId } from '../../src/postgres/table.ts';
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
