/** What the routes need, put together from the context, the permission and what has started in the background. */
import { readFile } from 'node:fs/promises';
import { createSemaphore } from '../async/semaphore.ts';
import { DumperError, errorMessage } from '../errors.ts';
import type { Log } from '../log.ts';
import { createLruCache } from '../lru.ts';
import type { ResourceId } from '../postgres/table.ts';
import type { ServeDeps } from '../serve/context.ts';
import { createManifestCache, nothingPublished, type ManifestCache } from '../serve/manifest-cache.ts';
import { createResourceNames, noResourceNames } from '../serve/resource-name.ts';
import type { Background } from './background.ts';
import type { AppContext } from './context.ts';
import type { AppPermission } from './permission.ts';
import { readinessChecks } from './readiness.ts';

/** `ending` aborts when live answers have had their grace. */
export async function createServeDeps(
  context: AppContext,
  permission: AppPermission,
  background: Background,
  ending: AbortSignal,
): Promise<ServeDeps> {
  const { config, store, metrics, log, now, profiles, ckan } = context;
  const manifests = openManifests(context, background);
  permission.onVisibility((id, isPublic) => {
    if (!isPublic) manifests.forget(id);
  });
  const publishes = config.DUMPER_STATE_URL !== undefined && store !== null;
  metrics.liveSlots.set(config.DUMPER_LIVE_SLOTS);
  return {
    config,
    profile: profiles.current,
    readPool: context.readPool,
    livePool: context.livePool,
    slots: createSemaphore(config.DUMPER_LIVE_SLOTS, { onChange: (busy) => metrics.liveSlotsBusy.set(busy) }),
    store,
    manifests,
    blobSecret: context.blobSecret,
    permission: permission.permission,
    resourceNames: ckan === null ? noResourceNames : createResourceNames(ckan, Date.now),
    ...(publishes ? throughBackground(background) : { publications: null, rebuild: null }),
    enqueueStale: atMostOnceASecond((id) => background.change?.enqueueStale(id), log),
    webhook: publishes && config.DUMPER_NOTICE_SECRET !== undefined ? background : null,
    checks: readinessChecks(context, background, permission.permission.how),
    openapi: await readFile(new URL('../../openapi.yaml', import.meta.url), 'utf8').catch(() => null),
    metrics,
    traces: context.traces,
    log,
    now,
    ending,
  };
}

function openManifests(
  { config, store, metrics, log, now }: AppContext,
  { stability }: Background,
): ManifestCache {
  if (store === null) return nothingPublished;
  return createManifestCache({
    store,
    stability,
    marginSeconds: config.DUMPER_COUNTER_MARGIN_SECONDS,
    retireMarginSeconds: config.DUMPER_RETIRE_MARGIN_SECONDS,
    now,
    log,
    onRead: (from) => metrics.manifestReads.inc({ from }),
  });
}

/** Records and rebuilds; both throw `STATE_UNAVAILABLE` while the background has not started. */
function throughBackground(background: Background): Pick<ServeDeps, 'publications' | 'rebuild'> {
  const publications = () => {
    if (background.publishing !== null) return background.publishing.state.publications;
    throw new DumperError('STATE_UNAVAILABLE', 'the state database cannot be reached yet');
  };
  return {
    publications: { get: async (id) => publications().get(id), all: async () => publications().all() },
    rebuild: async (id) => {
      if (background.change === null)
        throw new DumperError('STATE_UNAVAILABLE', 'the queue cannot be reached yet');
      await background.change.rebuild([id]);
    },
  };
}

/** Least pause between two hints about the same table, in milliseconds: many requests may ask for a stale table. */
const hintPause = 1000;
const hintsRemembered = 10_000;

function atMostOnceASecond(
  enqueueStale: (id: ResourceId) => Promise<void> | undefined,
  log: Log,
): (id: ResourceId) => void {
  const hintedAt = createLruCache<number>(hintsRemembered);
  return (id) => {
    const now = performance.now();
    if (now - (hintedAt.get(id) ?? -Infinity) < hintPause) return;
    hintedAt.set(id, now);
    enqueueStale(id)?.catch((error: unknown) => {
      log.debug(
        { table: id, reason: errorMessage(error) },
        'a stale table was not queued; the next sweep finds it',
      );
    });
  };
}
