/** A publishing world over real parts for the tests of `dump/`: one pool, a directory store, the state's own fence. */
import type pg from 'pg';
import type { BlobStore } from '../../src/blob-store/blob-store.ts';
import { ckanProfile } from '../../src/ckan/profile.ts';
import type { Manifest, RetentionOptions } from '../../src/manifest.ts';
import type { PublishDeps, PublishOptions } from '../../src/publish/publish.ts';
import { pruneSuperseded } from '../../src/publish/cleanup.ts';
import { variants, type Variant } from '../../src/format.ts';
import type { State } from '../../src/state/state.ts';
import { installationFixture } from '../world/installation.ts';
import type { Corpus, Database } from '../world/postgres.ts';

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
  const { corpus } = options;
  const installation = await installationFixture({
    journal: false,
    ...(corpus === undefined ? {} : { corpus }),
  });
  const { database, end } = installation;
  const store = options.store ?? installation.store;
  const url = (await options.readUrl?.(database)) ?? database.readUrl;
  const pool = installation.openPool({ applicationName: 'dumper-test-publish', url });
  const state = await installation.openState();
  const profile = ckanProfile(corpus === '2.11.6' ? '2.11' : '2.12');
  return {
    database,
    pool,
    store,
    state,
    world: (parts = {}) =>
      publishWorld({ pool, store, fence: state.fence, profile: () => profile, ...parts }),
    close: async () => {
      await end();
      await options.store?.close();
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
  options: RetentionOptions,
): Promise<void> {
  const id = manifest.resource_id;
  const generation = await state.fence.take(id, 0);
  await pruneSuperseded(store, state.fence, { manifest, generation }, options);
  await state.fence.release(id);
}
