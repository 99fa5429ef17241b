/**
 * One table's turn with the settings of this installation: publish, clear away what nothing refers to any more, and
 * tell the log. The queue and the command line both publish through this, holding the table's fence.
 */
import type pg from 'pg';
import type { BlobStore } from '../blob-store/blob-store.ts';
import type { CkanProfile } from '../ckan/profile.ts';
import type { Config } from '../config/config.ts';
import { isDumperError, errorMessage } from '../errors.ts';
import type { Log } from '../log.ts';
import type { Metrics } from '../metrics.ts';
import type { ResourceId } from '../postgres/table.ts';
import type { FencedManifest } from '../manifest.ts';
import type { PublishFence } from '../state/fence.ts';
import { publish, type PublishOptions, type PublishOutcome, type PublishDeps } from './publish.ts';
import { pruneSuperseded, unpublish } from './cleanup.ts';

export interface PublisherDeps {
  readonly config: Config;
  readonly pool: pg.Pool;
  readonly store: BlobStore;
  readonly fence: PublishFence;
  readonly profile: () => Promise<CkanProfile>;
  /** Null: it cannot be told now; then the published manifest's word stands, and what is new is private. */
  readonly mayAnyoneRead: (id: ResourceId) => Promise<boolean | null>;
  readonly metrics: Metrics;
  readonly log: Log;
  readonly now: () => Date;
  readonly onStep?: PublishDeps['onStep'];
}

export interface Publisher {
  publish(id: ResourceId, options: PublishOptions): Promise<PublishOutcome>;
  /** Take a table's dumps away: it is gone, or no longer to be given. False: another worker holds it. */
  unpublish(id: ResourceId): Promise<boolean>;
}

export function createPublisher(deps: PublisherDeps): Publisher {
  return {
    publish: (id, options) => publishAndClear(deps, id, options),
    unpublish: async (id) => {
      const withdrawn = await unpublish(deps.store, deps.fence, id);
      deps.log.info({ table: id, withdrawn }, 'withdrawal');
      return withdrawn;
    },
  };
}

async function publishAndClear(
  deps: PublisherDeps,
  id: ResourceId,
  options: PublishOptions,
): Promise<PublishOutcome> {
  const started = performance.now();
  try {
    const profile = await deps.profile();
    const outcome = await publish(publishWorld(deps, profile), id, options);
    recordOutcome(deps, id, outcome, (performance.now() - started) / 1000);
    if (outcome.kind === 'published' || outcome.kind === 'unchanged') await prune(deps, outcome);
    return outcome;
  } catch (error) {
    // One that was given up at the end of the process is no failure of the table.
    if (!options.signal.aborted) deps.metrics.publications.inc({ outcome: failureOf(error) });
    throw error;
  }
}

function failureOf(error: unknown): 'superseded' | 'failed' {
  return isDumperError(error, 'SUPERSEDED') ? 'superseded' : 'failed';
}

function publishWorld(deps: PublisherDeps, profile: CkanProfile): PublishDeps {
  const { config } = deps;
  return {
    pool: deps.pool,
    store: deps.store,
    fence: deps.fence,
    profile: () => profile,
    variants: config.DUMPER_FORMATS,
    visibility: async (id) => {
      const anyone = await deps.mayAnyoneRead(id);
      return { public: anyone, underPublicPrefix: config.DUMPER_PUBLIC_BLOB_URL !== undefined };
    },
    now: deps.now,
    lockSeconds: config.DUMPER_LOCK_SECONDS,
    stallSeconds: config.DUMPER_STALL_SECONDS,
    maxSeconds: config.DUMPER_PUBLISH_MAX_SECONDS,
    publicCacheSeconds: config.DUMPER_URL_LIFE_SECONDS,
    retireSeconds: pruneAfterSeconds(config),
    ...(deps.onStep === undefined ? {} : { onStep: deps.onStep }),
  };
}

/** A superseded blob outlives every URL that was handed out for it, and the manifests that replicas keep in memory. */
export function pruneAfterSeconds(config: Config): number {
  return config.DUMPER_URL_LIFE_SECONDS + config.DUMPER_RETIRE_MARGIN_SECONDS;
}

/** What cannot be cleared away now is found again by the sweep: the dump is published all the same. */
async function prune(deps: PublisherDeps, held: FencedManifest): Promise<void> {
  const table = held.manifest.resource_id;
  const retireSeconds = pruneAfterSeconds(deps.config);
  try {
    const gone = await pruneSuperseded(deps.store, deps.fence, held, { now: deps.now(), retireSeconds });
    if (gone > 0) deps.log.info({ table, blobs: gone }, 'retired blobs');
  } catch (error) {
    deps.log.warn({ table, reason: errorMessage(error) }, 'blobs could not be retired; the sweep finds them');
  }
}

function recordOutcome(deps: PublisherDeps, id: ResourceId, outcome: PublishOutcome, seconds: number): void {
  const { log, metrics } = deps;
  metrics.publications.inc({ outcome: outcome.kind });
  if (outcome.kind === 'superseded') log.warn({ table: id, outcome: 'superseded' }, 'publication');
  else if (outcome.kind === 'gone') log.info({ table: id, outcome: 'gone' }, 'publication');
  else {
    const { revision, rows, tier, blobs } = outcome.manifest;
    const bytes = Object.values(blobs).reduce((sum, blob) => sum + blob.bytes, 0);
    if (outcome.kind === 'published') {
      metrics.publicationSeconds.observe(seconds);
      metrics.publishedBytes.inc(bytes);
    }
    const facts = { table: id, outcome: outcome.kind, revision, tier, rows, bytes };
    log.info({ ...facts, seconds: Math.round(seconds * 1000) / 1000 }, 'publication');
  }
}
