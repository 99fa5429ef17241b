/**
 * Is there a published dump that is the table as it is, at this very request? (promise P4)
 *
 * A manifest kept in memory counts only when its token equals the one just read from Postgres, so this cache can be
 * missed but never wrong. Entries end after less than the margin by which superseded blobs outlive their URLs, since
 * a rebuild of an unchanged table retires blobs without changing the token (promise P6). What was not found is
 * remembered for a moment by token, so that a table that was never published costs no read of the store per request.
 */
import type { BlobStore } from '../blob-store/blob-store.ts';
import type { CkanProfile } from '../ckan/profile.ts';
import { readPublished, type Manifest } from '../manifest.ts';
import { errorMessage } from '../errors.ts';
import type { Log } from '../log.ts';
import { freshness, revisionToken, type StabilityTracker, type TableState } from '../postgres/revision.ts';
import { createLruCache } from '../lru.ts';

export interface ManifestCache {
  /** The manifest of the table's present state, or null: then the answer is live. Never rejects. */
  fresh(state: TableState, profile: CkanProfile): Promise<Manifest | null>;
  /** Whatever manifest is published, fresh or not, read from the store. */
  published(id: string): Promise<Manifest | null>;
  /** Read it again next time: its blobs were not what it said, or its visibility has changed. */
  forget(id: string): void;
}

export interface ManifestCacheOptions {
  readonly store: Pick<BlobStore, 'readSmall'>;
  readonly stability: StabilityTracker;
  /** Read-only tier: how long the counters must have rested. */
  readonly marginSeconds: number;
  /** How long superseded blobs outlive every URL: a manifest is kept for half of it at most. */
  readonly retireMarginSeconds: number;
  readonly now: () => Date;
  readonly log: Log;
  readonly onRead?: (from: 'cache' | 'store') => void;
}

interface Kept {
  readonly manifest: Manifest | null;
  /** The token of the request that looked: what was not found for it is not looked for again at once. */
  readonly askedToken: string;
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
  const kept = createLruCache<Kept>(manifestsKept, {
    most: mostBytesKept,
    weigh: ({ manifest }) => entryBytes + (manifest === null ? 0 : JSON.stringify(manifest).length),
  });
  const pending = new Map<string, Promise<Manifest | null>>();
  const lifeMilliseconds = Math.min(longestLifeSeconds, options.retireMarginSeconds / 2) * 1000;
  const complain = complainRarely(options.log);

  const usable = (entry: Kept | undefined, token: string, now: number): boolean => {
    if (entry === undefined) return false;
    const age = now - entry.readAt;
    if (entry.manifest?.token === token) return age < lifeMilliseconds;
    return entry.askedToken === token && age < notFoundSeconds * 1000;
  };

  const read = async (id: string, token: string): Promise<Manifest | null> => {
    options.onRead?.('store');
    const readAt = options.now().getTime();
    const manifest = await withDeadline(readPublished(options.store, id))
      .then((published) => published?.manifest ?? null)
      .catch((error: unknown) => {
        complain(error);
        return null;
      });
    kept.set(id, { manifest, askedToken: token, readAt });
    return manifest;
  };

  const manifestFor = (id: string, token: string): Promise<Manifest | null> => {
    const entry = kept.get(id);
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
      const verdict = freshness(state, manifest, profile, now, options.marginSeconds, restedSince);
      return verdict === 'fresh' ? manifest : null;
    },
    published: (id) => read(id, ''),
    forget: (id) => kept.delete(id),
  };
}

/** A store that hangs must not hold up an answer that can be given live. */
async function withDeadline<Value>(work: Promise<Value>): Promise<Value> {
  const deadline = Promise.withResolvers<never>();
  const timer = setTimeout(
    () => deadline.reject(new Error('the blob store did not answer in time')),
    storeDeadlineMilliseconds,
  );
  try {
    return await Promise.race([work, deadline.promise]);
  } finally {
    clearTimeout(timer);
  }
}

/** One line in ten seconds, however many requests find the store gone. */
function complainRarely(log: Log): (error: unknown) => void {
  let silentUntil = 0;
  return (error) => {
    if (performance.now() < silentUntil) return;
    silentUntil = performance.now() + 10_000;
    log.warn({ reason: errorMessage(error) }, 'manifests cannot be read; answering live');
  };
}
