/** A publishing world over real parts for the tests of `dump/`: one pool, a directory store, the state's own fence. */
import { randomBytes } from 'node:crypto';
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { pathToFileURL } from 'node:url';
import type pg from 'pg';
import type { BlobStore } from '../../src/blob-store/blob-store.ts';
import { openBlobStore } from '../../src/blob-store/open.ts';
import { ckanProfile } from '../../src/ckan/profile.ts';
import type { Manifest } from '../../src/manifest.ts';
import type { PublishDeps, PublishOptions } from '../../src/publish/publish.ts';
import { pruneSuperseded, type PruneOptions } from '../../src/publish/cleanup.ts';
import { variants, type Variant } from '../../src/format.ts';
import { createPool } from '../../src/postgres/pool.ts';
import { openState, type State } from '../../src/state/state.ts';
import { asResourceId } from '../../src/postgres/table.ts';
import { freshDatabase, type Corpus, type Database } from '../world/postgres.ts';

/** Every format; with a byte order mark those of which the product publishes it by default. */
export const publishedVariants: readonly Variant[] = variants.filter(
  (variant) => !['json+bom', 'xml+bom'].includes(variant),
);

export interface Publishing {
  readonly database: Database;
  readonly pool: pg.Pool;
  readonly store: BlobStore;
  readonly state: State;
  /** A world like the product's; parts may be replaced. */
  world(parts?: Partial<PublishDeps>): PublishDeps;
  close(): Promise<void>;
}

/** A world like the product's with everything public; parts may be replaced. */
export function publishWorld(
  parts: Pick<PublishDeps, 'pool' | 'store' | 'fence' | 'profile'> & Partial<PublishDeps>,
): PublishDeps {
  return {
    variants: publishedVariants,
    visibility: async () => ({ public: true, underPublicPrefix: false }),
    now: () => new Date(),
    lockSeconds: 5,
    stallSeconds: 30,
    maxSeconds: 300,
    retireSeconds: 600,
    publicCacheSeconds: 300,
    ...parts,
  };
}

export interface PublishingOptions {
  readonly corpus?: Corpus;
  /** Another way to the DataStore than straight to it, e.g. through a fault proxy. */
  readonly readUrl?: (database: Database) => Promise<string>;
  readonly store?: BlobStore;
}

export async function openPublishing(options: PublishingOptions = {}): Promise<Publishing> {
  const database = await freshDatabase(options.corpus === undefined ? {} : { corpus: options.corpus });
  const directory = await mkdtemp(path.join(tmpdir(), 'dumper-blobs-'));
  const store =
    options.store ??
    openBlobStore(pathToFileURL(directory).href, { signingSecret: randomBytes(16).toString('hex') });
  const pool = createPool({
    url: (await options.readUrl?.(database)) ?? database.readUrl,
    applicationName: 'dumper-test-publish',
    size: 4,
    onIdleError: () => undefined,
  });
  const state = await openState({ url: database.stateUrl, onIdleError: () => undefined });
  const profile = ckanProfile(options.corpus === '2.11.6' ? '2.11' : '2.12');
  return {
    database,
    pool,
    store,
    state,
    world: (parts = {}) =>
      publishWorld({ pool, store, fence: state.fence, profile: () => profile, ...parts }),
    close: async () => {
      await pool.end();
      await state.close();
      await store.close();
      await database.drop();
      await rm(directory, { recursive: true, force: true });
    },
  };
}

/** Options of a plain publication. */
export function plainly(parts: { force?: boolean; signal?: AbortSignal } = {}): PublishOptions {
  return {
    force: parts.force ?? false,
    signal: parts.signal ?? new AbortController().signal,
    onProgress: () => undefined,
  };
}

/** Delete what the published manifest keeps no longer, as a holder of the table's fence. */
export async function clearAway(
  { store, state }: Publishing,
  manifest: Manifest,
  options: PruneOptions,
): Promise<void> {
  const id = asResourceId(manifest.resource_id);
  const generation = await state.fence.take(id, 0);
  await pruneSuperseded(store, state.fence, { manifest, generation }, options);
  await state.fence.release(id);
}
