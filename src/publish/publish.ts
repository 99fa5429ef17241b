/**
 * A dump is published: the algorithm on one screen.
 *
 *  1. take the table's fence, so that whoever held it before can no longer switch;
 *  2. open a snapshot: lock, then revision, columns and data dictionary, all of one instant;
 *  3. same revision as the manifest's: nothing to do;
 *  4. one scan into every blob, under keys that were never used before;
 *  5. let go of the snapshot, then switch the manifest under the fence, by compare-and-swap, last.
 *
 * Until step 5 nothing is visible; after it everything is (promises P1, P2, P3, P5).
 */
import { randomBytes } from 'node:crypto';
import type pg from 'pg';
import type { BlobStore } from '../blob-store/blob-store.ts';
import { printableInfo } from '../postgres/catalogue.ts';
import type { CkanProfile } from '../ckan/profile.ts';
import { DumperError } from '../errors.ts';
import type { Variant } from '../format.ts';
import { revisionToken } from '../postgres/revision.ts';
import type { Fence as HeldFence } from '../state/fence.ts';
import type { ResourceId } from '../postgres/table.ts';
import { removePublicBlobs } from './conceal.ts';
import {
  isUnderPublicPrefix,
  manifestVersion,
  publicPrefix,
  readPublished,
  revisionPrefix,
} from '../manifest.ts';
import type { Manifest, StoredManifest } from '../manifest.ts';
import { withSnapshot, type Snapshot } from '../dump/snapshot.ts';
import { switchManifest } from './switch.ts';
import { writeBlobs } from './write-blobs.ts';

/** Of the state database's fence, what excludes older workers of the same table. */
export type PublishFence = Pick<HeldFence, 'take' | 'switchUnder'>;

export interface Visibility {
  /** May anonymous users read it? Null: nobody could tell; the published manifest's word stands, else private. */
  readonly public: boolean | null;
  /** Blobs that anonymous users may read are to live where a CDN can reach them. */
  readonly underPublicPrefix: boolean;
}

/** Steps of a publication, in order: named so that a crash test can kill the process at each. */
export type PublishStep = 'fenced' | 'snapshot' | 'scanning' | 'uploaded' | 'switching' | 'switched';

export interface PublishDeps {
  readonly pool: pg.Pool;
  readonly store: BlobStore;
  readonly fence: PublishFence;
  readonly profile: () => CkanProfile;
  readonly variants: readonly Variant[];
  readonly visibility: (id: ResourceId) => Promise<Visibility>;
  readonly now: () => Date;
  readonly lockSeconds: number;
  readonly stallSeconds: number;
  readonly maxSeconds: number;
  /** How long a shared cache may keep a public blob: no longer than access may be lost, in seconds. */
  readonly publicCacheSeconds: number;
  /** How long a superseded revision's URLs may still be used, in seconds. */
  readonly retireSeconds: number;
  readonly onStep?: (id: ResourceId, step: PublishStep) => void;
}

export interface PublishOptions {
  /** Publish even if the revision is the published one. */
  readonly force: boolean;
  readonly signal: AbortSignal;
  readonly onProgress: (rows: number, bytes: number) => void;
}

/** A manifest as the holder of this generation of the fence found or left it. */
export interface FencedManifest {
  readonly manifest: Manifest;
  readonly generation: number;
}

export type PublishOutcome =
  | (FencedManifest & { readonly kind: 'published' })
  | (FencedManifest & { readonly kind: 'unchanged' })
  | { readonly kind: 'gone' }
  | { readonly kind: 'superseded' };

interface Draft {
  readonly manifest: Manifest;
  readonly kind: 'written' | 'unchanged';
}

export async function publish(
  deps: PublishDeps,
  id: ResourceId,
  options: PublishOptions,
): Promise<PublishOutcome> {
  const signal = AbortSignal.any([options.signal, AbortSignal.timeout(deps.maxSeconds * 1000)]);
  if (`${id}/`.startsWith(publicPrefix)) {
    throw new DumperError('BAD_PARAMETER', 'a table of this name would lie among the public blobs');
  }
  const known = await readPublished(deps.store, id);
  const generation = await deps.fence.take(id, known?.manifest?.generation ?? 0);
  // Whoever held the fence until now may have switched since.
  const before = await readPublished(deps.store, id);
  deps.onStep?.(id, 'fenced');
  const visibility = await deps.visibility(id);
  const current = await withoutPublicBlobs(deps, id, before, visibility);
  const { lockSeconds, stallSeconds } = deps;
  const draft = await withSnapshot(deps.pool, id, { lockSeconds, stallSeconds, signal }, (snapshot) =>
    write(deps, snapshot, { ...options, signal }, { current, generation, visibility }),
  );
  if (draft === null) return { kind: 'gone' };
  if (draft.kind === 'unchanged') return { kind: 'unchanged', manifest: draft.manifest, generation };
  deps.onStep?.(id, 'uploaded');
  return switchManifest(deps, draft.manifest, current, signal);
}

/** What is published, less what anonymous users may read no longer. */
async function withoutPublicBlobs(
  { store }: PublishDeps,
  id: ResourceId,
  published: StoredManifest | null,
  visibility: Visibility,
): Promise<StoredManifest | null> {
  const manifest = published?.manifest ?? null;
  const exposed = manifest !== null && isUnderPublicPrefix(manifest);
  if (visibility.public !== false || !exposed) return published;
  await removePublicBlobs(store, id);
  return null;
}

interface Attempt {
  readonly current: StoredManifest | null;
  readonly generation: number;
  readonly visibility: Visibility;
}

async function write(
  deps: PublishDeps,
  snapshot: Snapshot,
  options: PublishOptions,
  { current, generation, visibility }: Attempt,
): Promise<Draft> {
  const { id } = snapshot.state;
  deps.onStep?.(id, 'snapshot');
  const profile = deps.profile();
  const token = revisionToken(snapshot.state, profile);
  const published = current?.manifest ?? null;
  const isPublic = visibility.public ?? published?.public ?? false;
  const exposed = isPublic && visibility.underPublicPrefix;
  if (!options.force && published !== null && isSame(published, token, exposed, deps.variants)) {
    if (published.public === isPublic) return { kind: 'unchanged', manifest: published };
    return { kind: 'written', manifest: { ...published, public: isPublic, generation } };
  }
  const started = performance.now();
  const revision = `${token.slice(0, 20)}-${randomBytes(4).toString('hex')}`;
  deps.onStep?.(id, 'scanning');
  const { rows, blobs } = await writeBlobs(snapshot, {
    ...options,
    store: deps.store,
    profile,
    variants: deps.variants,
    prefix: revisionPrefix(id, revision, exposed),
    cacheControl: exposed ? `public, max-age=${deps.publicCacheSeconds}` : 'private, no-store',
    stallSeconds: deps.stallSeconds,
  });
  const manifest: Manifest = {
    version: manifestVersion,
    resource_id: id,
    revision,
    token,
    tier: snapshot.state.tier,
    generation,
    published_at: deps.now().toISOString(),
    columns: snapshot.columns.map(dictionaryEntry),
    rows,
    public: isPublic,
    build_seconds: Math.round(performance.now() - started) / 1000,
    superseded: supersededBy(deps, published),
    blobs,
  };
  return { kind: 'written', manifest };
}

/** The published dump is this revision already, in every variant asked for, where its readers find it. */
function isSame(manifest: Manifest, token: string, exposed: boolean, variants: readonly Variant[]): boolean {
  return (
    manifest.token === token &&
    isUnderPublicPrefix(manifest) === exposed &&
    variants.every((variant) => manifest.blobs[variant] !== undefined)
  );
}

function supersededBy(deps: PublishDeps, published: Manifest | null): Manifest['superseded'] {
  if (published === null) return [];
  const now = deps.now();
  const alive = published.superseded.filter(
    (entry) => Date.parse(entry.at) + deps.retireSeconds * 1000 > now.getTime(),
  );
  return [...alive, { revision: published.revision, at: now.toISOString() }];
}

function dictionaryEntry(column: Snapshot['columns'][number]): Manifest['columns'][number] {
  return { name: column.name, type: column.type, info: printableInfo(column.comment) };
}
