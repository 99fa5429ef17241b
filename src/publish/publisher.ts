/**
 * One table's turn with the settings of this installation: publish, clear away what nothing refers to any more, and
 * tell the log. The queue and the command line both publish through this, holding the table's fence.
 */
import type pg from 'pg';
import type { BlobStore } from '../blob-store/blob-store.ts';
import type { CkanProfile } from '../ckan/profile.ts';
import type { Config } from '../config/config.ts';
import { isDumperError, reasonOf } from '../errors.ts';
import type { Log } from '../log.ts';
import type { Metrics } from '../metrics.ts';
import type { ResourceId } from '../postgres/table.ts';
import {
  publish,
  type Fence,
  type HeldManifest,
  type PublishOptions,
  type PublishOutcome,
  type PublishWorld,
} from './publish.ts';
import { retire, withdraw } from './cleanup.ts';

export interface PublisherWorld {
  readonly config: Config;
  readonly pool: pg.Pool;
  readonly store: BlobStore;
  readonly fence: Fence;
  readonly profile: () => Promise<CkanProfile>;
  /** Null: it cannot be told now; then the published manifest's word stands, and what is new is private. */
  readonly mayAnyoneRead: (id: ResourceId) => Promise<boolean | null>;
  readonly metrics: Metrics;
  readonly log: Log;
  readonly now: () => Date;
  readonly onStep?: PublishWorld['onStep'];
}

export interface Publisher {
  publish(id: ResourceId, options: PublishOptions): Promise<PublishOutcome>;
  /** Take a table's dumps away: it is gone, or no longer to be given. False: another worker holds it. */
  withdraw(id: ResourceId): Promise<boolean>;
}

export function createPublisher(world: PublisherWorld): Publisher {
  return {
    publish: (id, options) => publishAndClear(world, id, options),
    withdraw: async (id) => {
      const withdrawn = await withdraw(world.store, world.fence, id);
      world.log.info({ table: id, withdrawn }, 'withdrawal');
      return withdrawn;
    },
  };
}

async function publishAndClear(
  world: PublisherWorld,
  id: ResourceId,
  options: PublishOptions,
): Promise<PublishOutcome> {
  const started = performance.now();
  try {
    const profile = await world.profile();
    const outcome = await publish(publishWorld(world, profile), id, options);
    tell(world, id, outcome, (performance.now() - started) / 1000);
    if (outcome.kind === 'published' || outcome.kind === 'unchanged') await clear(world, outcome);
    return outcome;
  } catch (error) {
    // One that was given up at the end of the process is no failure of the table.
    if (!options.signal.aborted) world.metrics.publications.inc({ outcome: failureOf(error) });
    throw error;
  }
}

function failureOf(error: unknown): 'superseded' | 'failed' {
  return isDumperError(error, 'SUPERSEDED') ? 'superseded' : 'failed';
}

function publishWorld(world: PublisherWorld, profile: CkanProfile): PublishWorld {
  const { config } = world;
  return {
    pool: world.pool,
    store: world.store,
    fence: world.fence,
    profile: () => profile,
    variants: config.DUMPER_FORMATS,
    visibility: async (id) => {
      const anyone = await world.mayAnyoneRead(id);
      return { public: anyone, exposed: config.DUMPER_PUBLIC_BLOB_URL !== undefined };
    },
    now: world.now,
    lockSeconds: config.DUMPER_LOCK_SECONDS,
    stallSeconds: config.DUMPER_STALL_SECONDS,
    maxSeconds: config.DUMPER_PUBLISH_MAX_SECONDS,
    publicCacheSeconds: config.DUMPER_URL_LIFE_SECONDS,
    retireSeconds: retireSecondsOf(config),
    ...(world.onStep === undefined ? {} : { onStep: world.onStep }),
  };
}

/** A superseded blob outlives every URL that was handed out for it, and the manifests that replicas keep in memory. */
export function retireSecondsOf(config: Config): number {
  return config.DUMPER_URL_LIFE_SECONDS + config.DUMPER_RETIRE_MARGIN_SECONDS;
}

/** What cannot be cleared away now is found again by the sweep: the dump is published all the same. */
async function clear(world: PublisherWorld, held: HeldManifest): Promise<void> {
  const table = held.manifest.resource_id;
  const retireSeconds = retireSecondsOf(world.config);
  try {
    const gone = await retire(world.store, world.fence, held, { now: world.now(), retireSeconds });
    if (gone > 0) world.log.info({ table, blobs: gone }, 'retired blobs');
  } catch (error) {
    world.log.warn({ table, reason: reasonOf(error) }, 'blobs could not be retired; the sweep finds them');
  }
}

function tell(world: PublisherWorld, id: ResourceId, outcome: PublishOutcome, seconds: number): void {
  const { log, metrics } = world;
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
