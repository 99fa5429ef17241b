/**
 * The published dump that is the table as it is at this very request, if there is one (P4, no stale blob).
 *
 * A manifest kept in memory counts only when its token equals the one just read from Postgres, so this cache can
 * miss but never be wrong. Entries end after less than the margin by which superseded blobs outlive their URLs, since
 * a rebuild of an unchanged table supersedes blobs without changing the token (P6, a redirect stays valid). What was not
 * found is remembered for a moment by token, so that a table that was never published costs no read of the store per request.
 */
import { withTimeout } from '../async/timeout.ts';
import type { BlobStore } from '../blob-store/blob-store.ts';
import type { CkanProfile } from '../ckan/profile.ts';
import { errorMessage } from '../errors.ts';
import type { Log } from '../log.ts';
import { createLruCache } from '../lru.ts';
import { readPublished, type Manifest } from '../manifest.ts';
import { freshness, revisionToken, type StabilityTracker, type TableState } from '../postgres/revision.ts';

export interface ManifestCache {
  /** The manifest of the table's present state, or null: then the answer is live. Never rejects. */
  fresh(state: TableState, profile: CkanProfile): Promise<Manifest | null>;
  /** Whatever manifest is published, fresh or not, read from the store. */
  published(id: string): Promise<Manifest | null>;
  /** Read it again next time: its blobs were not what it said, or its visibility has changed. */
  forget(id: string): void;
}

interface ManifestCacheOptions {
  readonly store: Pick<BlobStore, 'readSmall'>;
  readonly stability: StabilityTracker;
  /** Read-only tier: how long the counters must have been at rest. */
  readonly marginSeconds: number;
  /** How long superseded blobs outlive every URL: a manifest is kept for half of it at most. */
  readonly retireMarginSeconds: number;
  readonly now: () => Date;
  readonly log: Log;
  readonly onRead?: (from: 'cache' | 'store') => void;
}

interface CachedManifest {
  readonly manifest: Manifest | null;
  /** The token of the request that read it: what was not found for this token is not read again at once. */
  readonly requestedToken: string;
  readonly readAt: number;
}

const manifestsKept = 20_000;
const mostBytesKept = 64 * 1024 * 1024;
/** About what an entry takes beside its manifest. */
const entryBytes = 500;
const longestLifeSeconds = 60;
const notFoundSeconds = 2;
const storeDeadlineMilliseconds = 2000;

/** Nothing is published: every answer is live. */
export const nothingPublished: ManifestCache = {
  fresh: async () => null,
  published: async () => null,
  forget: () => undefined,
};

export function createManifestCache(options: ManifestCacheOptions): ManifestCache {
  const cached = createLruCache<CachedManifest>(manifestsKept, {
    most: mostBytesKept,
    weigh: ({ manifest }) => entryBytes + (manifest === null ? 0 : JSON.stringify(manifest).length),
  });
  const pending = new Map<string, Promise<Manifest | null>>();
  const lifeMilliseconds = Math.min(longestLifeSeconds, options.retireMarginSeconds / 2) * 1000;
  const warn = createRareWarning(options.log);

  const usable = (entry: CachedManifest | undefined, token: string, now: number): boolean => {
    if (entry === undefined) return false;
    const age = now - entry.readAt;
    if (entry.manifest?.token === token) return age < lifeMilliseconds;
    return entry.requestedToken === token && age < notFoundSeconds * 1000;
  };

  const read = async (id: string, token: string): Promise<Manifest | null> => {
    options.onRead?.('store');
    const readAt = options.now().getTime();
    // A store that hangs must not hold up an answer that can be given live.
    const manifest = await withTimeout(readPublished(options.store, id), {
      milliseconds: storeDeadlineMilliseconds,
      onTimeout: () => new Error('the blob store did not answer in time'),
    })
      .then((published) => published?.manifest ?? null)
      .catch((error: unknown) => {
        warn(error);
        return null;
      });
    cached.set(id, { manifest, requestedToken: token, readAt });
    return manifest;
  };

  const manifestFor = (id: string, token: string): Promise<Manifest | null> => {
    const entry = cached.get(id);
    if (usable(entry, token, options.now().getTime())) {
      options.onRead?.('cache');
      return Promise.resolve(entry?.manifest ?? null);
    }
    const key = `${token}/${id}`;
    const reading = pending.get(key) ?? read(id, token).finally(() => pending.delete(key));
    pending.set(key, reading);
    return reading;
  };

  return {
    fresh: async (state, profile) => {
      const now = options.now();
      const restedSince = options.stability.observe(state, now);
      const manifest = await manifestFor(state.id, revisionToken(state, profile));
      const found = freshness(state, manifest, profile, now, options.marginSeconds, restedSince);
      return found === 'fresh' ? manifest : null;
    },
    published: (id) => read(id, ''),
    forget: (id) => cached.delete(id),
  };
}

/** One line in ten seconds, however many requests find the store gone. */
function createRareWarning(log: Log): (error: unknown) => void {
  let silentUntil = 0;
  return (error) => {
    if (performance.now() < silentUntil) return;
    silentUntil = performance.now() + 10_000;
    log.warn({ reason: errorMessage(error) }, 'manifests cannot be read; answering live');
  };
}
