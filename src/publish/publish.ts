/**
 * A dump is published: the whole algorithm.
 *
 *  1. take the table's fence, so that an earlier holder can no longer switch the manifest;
 *  2. open a snapshot: lock, then columns, data dictionary and revision, all of one instant;
 *  3. end here where the manifest has the same revision;
 *  4. scan the table once into every blob, under keys that were never used before;
 *  5. close the snapshot, then switch the manifest under the fence, by compare-and-swap.
 *
 * Before step 5 nothing is visible, after it everything is: no truncated blob is published (P1), a crash leaves the
 * previous dump (P2), all formats show one instant (P3), and replicas never interleave (P5).
 */
import { randomBytes } from 'node:crypto';
import type pg from 'pg';
import type { BlobStore } from '../blob-store/blob-store.ts';
import { printableInfo } from '../postgres/catalogue.ts';
import type { CkanProfile } from '../ckan/profile.ts';
import { DumperError } from '../errors.ts';
import type { Variant } from '../format.ts';
import { revisionToken } from '../postgres/revision.ts';
import type { PublishFence } from '../state/fence.ts';
import type { ResourceId } from '../postgres/table.ts';
import {
  isRetained,
  isUnderPublicPrefix,
  manifestKey,
  manifestVersion,
  publicPrefix,
  readPublished,
  revisionPrefix,
  writeManifest,
  type FencedManifest,
  type Manifest,
  type StoredManifest,
} from '../manifest.ts';
import { withRevisionSnapshot, type RevisionSnapshot } from '../dump/snapshot.ts';
import { removePublicBlobs } from './cleanup.ts';
import { deleteAttempt, writeBlobs } from './write-blobs.ts';

interface Visibility {
  /** May anonymous users read it? Null while CKAN cannot be asked: then as in the published manifest, else private. */
  readonly public: boolean | null;
  /** Are blobs that anonymous users may read to be stored where a CDN can reach them? */
  readonly underPublicPrefix: boolean;
}

/** Steps of a publication, in order. They have names so that a crash test can kill the process at each. */
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
  /** How long a shared cache may keep a public blob, in seconds: it is served for so long after access was lost. */
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
  // An earlier holder of the fence may have switched the manifest since.
  const before = await readPublished(deps.store, id);
  deps.onStep?.(id, 'fenced');
  const visibility = await deps.visibility(id);
  const current = await removePublicBlobsIfPrivate(deps, id, before, visibility);
  const { lockSeconds, stallSeconds } = deps;
  const draft = await withRevisionSnapshot(deps.pool, id, { lockSeconds, stallSeconds, signal }, (snapshot) =>
    write(deps, id, snapshot, { ...options, signal }, { current, generation, visibility }),
  );
  if (draft === null) return { kind: 'gone' };
  if (draft.kind === 'unchanged') return { kind: 'unchanged', manifest: draft.manifest, generation };
  deps.onStep?.(id, 'uploaded');
  return switchManifest(deps, draft.manifest, current, signal);
}

/** Public blobs of a table that is private now are removed at once; returns what is still published. */
async function removePublicBlobsIfPrivate(
  { store }: PublishDeps,
  id: ResourceId,
  published: StoredManifest | null,
  visibility: Visibility,
): Promise<StoredManifest | null> {
  const manifest = published?.manifest ?? null;
  if (visibility.public !== false || manifest === null || !isUnderPublicPrefix(manifest)) return published;
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
  id: ResourceId,
  snapshot: RevisionSnapshot,
  options: PublishOptions,
  { current, generation, visibility }: Attempt,
): Promise<Draft> {
  deps.onStep?.(id, 'snapshot');
  const profile = deps.profile();
  const token = revisionToken(snapshot.state, profile);
  const published = current?.manifest ?? null;
  const isPublic = visibility.public ?? published?.public ?? false;
  const underPublicPrefix = isPublic && visibility.underPublicPrefix;
  if (!options.force && published !== null && isSame(published, token, underPublicPrefix, deps.variants)) {
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
    prefix: revisionPrefix(id, revision, underPublicPrefix),
    cacheControl: underPublicPrefix ? `public, max-age=${deps.publicCacheSeconds}` : 'private, no-store',
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

/** The published dump is this revision already, in every variant asked for and under the right prefix. */
function isSame(
  manifest: Manifest,
  token: string,
  underPublicPrefix: boolean,
  variants: readonly Variant[],
): boolean {
  return (
    manifest.token === token &&
    isUnderPublicPrefix(manifest) === underPublicPrefix &&
    variants.every((variant) => manifest.blobs[variant] !== undefined)
  );
}

function supersededBy(deps: PublishDeps, published: Manifest | null): Manifest['superseded'] {
  if (published === null) return [];
  const now = deps.now();
  const retained = published.superseded.filter((entry) => isRetained(entry, { ...deps, now }));
  return [...retained, { revision: published.revision, at: now.toISOString() }];
}

function dictionaryEntry(column: RevisionSnapshot['columns'][number]): Manifest['columns'][number] {
  return { name: column.name, type: column.type, info: printableInfo(column.comment) };
}

/** `refused`: the store says that the condition does not hold, although it does; `notAsked`: it failed before. */
type SwitchEnd = 'switched' | 'superseded' | 'refused' | { readonly notAsked: unknown };

/**
 * Replace `current`, which was read while the fence was held, by this manifest, under the table's fence and by
 * compare-and-swap. Where that certainly did not happen, the blobs of the attempt are deleted at once, since no manifest
 * names them.
 */
async function switchManifest(
  deps: PublishDeps,
  manifest: Manifest,
  current: StoredManifest | null,
  signal: AbortSignal,
): Promise<PublishOutcome> {
  const end = await replaceManifest(deps, manifest, current, signal);
  if (end === 'switched') {
    deps.onStep?.(manifest.resource_id, 'switched');
    return { kind: 'published', manifest, generation: manifest.generation };
  }
  // With the revision of `current`, only the manifest was to be replaced: its blobs are the published ones.
  if (manifest.revision !== current?.manifest?.revision) {
    await deleteAttempt(
      deps.store,
      Object.values(manifest.blobs).map(({ key }) => key),
    );
  }
  if (end === 'superseded') return { kind: 'superseded' };
  if (end !== 'refused') throw end.notAsked;
  throw new DumperError(
    'BLOB_STORE_UNAVAILABLE',
    'the blob store refuses to replace the manifest although nobody else did: its conditional writes do not hold (see doctor)',
  );
}

async function replaceManifest(
  { store, fence, visibility, onStep }: PublishDeps,
  manifest: Manifest,
  current: StoredManifest | null,
  signal: AbortSignal,
): Promise<SwitchEnd> {
  const id = manifest.resource_id;
  let isAsked = false;
  try {
    // A scan may take hours, so visibility is asked again before the public blobs get a manifest.
    const now = isUnderPublicPrefix(manifest) ? await visibility(id) : null;
    if (now?.public === false) return 'superseded';
    const body = writeManifest(manifest);
    const outcome = await fence.switchUnder(id, manifest.generation, () => {
      signal.throwIfAborted();
      onStep?.(id, 'switching');
      isAsked = true;
      return store.replaceSmall(manifestKey(id), body, 'application/json', current?.version ?? null);
    });
    if (outcome.kind === 'superseded') return 'superseded';
    return outcome.value === 'switched' ? 'switched' : await afterConflict(store, manifest, current);
  } catch (error) {
    if (isAsked) throw error;
    return { notAsked: error };
  }
}

async function afterConflict(
  store: BlobStore,
  { resource_id, generation }: Manifest,
  current: StoredManifest | null,
): Promise<SwitchEnd> {
  const now = (await readPublished(store, resource_id))?.manifest?.generation;
  if (now === generation) return 'switched';
  return now === current?.manifest?.generation ? 'refused' : 'superseded';
}
