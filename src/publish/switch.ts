/**
 * The switch, a publication's last step: the manifest is replaced under the table's fence, by compare-and-swap. Where it
 * certainly did not happen, the blobs of the attempt go at once: no manifest names them (promises P5 and P7).
 */
import type { BlobStore } from '../blob-store/blob-store.ts';
import { DumperError } from '../errors.ts';
import type { ResourceId } from '../postgres/table.ts';
import {
  isUnderPublicPrefix,
  manifestKey,
  readPublished,
  writeManifest,
  type Manifest,
  type StoredManifest,
} from '../manifest.ts';
import type { PublishOutcome, PublishDeps } from './publish.ts';

/** `refused`: the store says that the condition does not hold, and it does; `unasked`: it failed before the store. */
type Ending = 'switched' | 'superseded' | 'refused' | { readonly unasked: unknown };

/** `current`: what the manifest replaces, as read while the fence was held. */
export async function switchManifest(
  deps: PublishDeps,
  manifest: Manifest,
  current: StoredManifest | null,
  signal: AbortSignal,
): Promise<PublishOutcome> {
  const ending = await replace(deps, manifest, current, signal);
  if (ending === 'switched') {
    deps.onStep?.(manifest.resource_id as ResourceId, 'switched');
    return { kind: 'published', manifest, generation: manifest.generation };
  }
  await deleteAttempt(deps.store, manifest, current?.manifest ?? null);
  if (ending === 'superseded') return { kind: 'superseded' };
  if (ending !== 'refused') throw ending.unasked;
  throw new DumperError(
    'BLOB_STORE_UNAVAILABLE',
    'the blob store refuses to replace the manifest although nobody else did: its conditional writes do not hold (see doctor)',
  );
}

async function replace(
  { store, fence, visibility, onStep }: PublishDeps,
  manifest: Manifest,
  current: StoredManifest | null,
  signal: AbortSignal,
): Promise<Ending> {
  const id = manifest.resource_id as ResourceId;
  let isAsked = false;
  try {
    // A scan may take hours: who may read is asked again before anything is told of it.
    const readers = isUnderPublicPrefix(manifest) ? await visibility(id) : null;
    if (readers?.public === false) return 'superseded';
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
    return { unasked: error };
  }
}

async function afterConflict(
  store: BlobStore,
  { resource_id, generation }: Manifest,
  current: StoredManifest | null,
): Promise<Ending> {
  const now = (await readPublished(store, resource_id))?.manifest?.generation;
  if (now === generation) return 'switched';
  return now === current?.manifest?.generation ? 'refused' : 'superseded';
}

/** What the store does not delete now, the sweep finds. */
async function deleteAttempt(store: BlobStore, manifest: Manifest, current: Manifest | null): Promise<void> {
  if (manifest.revision === current?.revision) return;
  await store.delete(Object.values(manifest.blobs).map(({ key }) => key)).catch(() => undefined);
}
