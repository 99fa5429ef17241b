/**
 * The one way to publish a table, for the queue's worker and the command line alike: publish it, prune what nothing
 * refers to any more, record the outcome for all who ask (records, metrics, log, CKAN), and release the table's fence.
 */
import type { CkanProfile } from '../ckan/profile.ts';
import type { TaskStatusReporter } from '../ckan/task-status.ts';
import type { Config } from '../config/config.ts';
import { isDumperError, errorMessage } from '../errors.ts';
import { redact, type Log } from '../log.ts';
import type { Metrics } from '../metrics.ts';
import type { ResourceId } from '../postgres/table.ts';
import type { Fence } from '../state/fence.ts';
import type { Publications } from '../state/publications.ts';
import { blobBytesOf, type FencedManifest } from '../manifest.ts';
import { publish, type PublishDeps, type PublishOptions, type PublishOutcome } from './publish.ts';
import { pruneSuperseded, unpublish } from './cleanup.ts';

/** What publishing with the settings of this installation needs: the algorithm's parts, and who hears the outcome. */
export interface Publisher extends Omit<PublishDeps, 'fence' | 'profile'> {
  readonly fence: Fence;
  readonly profile: () => Promise<CkanProfile>;
  /** Are the settings of this process in force? Otherwise the table is left to the others. */
  readonly isLeader: () => Promise<boolean>;
  /** Traces are kept around these two; the publisher knows nothing of them. */
  readonly traced: TracedPublication;
  readonly publications: Pick<Publications, 'recordPublished' | 'recordFailure' | 'recordRemoved'>;
  /** Null: CKAN is not told. */
  readonly taskStatus: TaskStatusReporter | null;
  readonly metrics: Pick<Metrics, 'publications' | 'publicationSeconds' | 'publishedBytes'>;
  readonly log: Log;
}

/** Each runs its work, inside a span where traces are kept. */
export interface TracedPublication {
  publish(work: () => Promise<PublishOutcome>): Promise<PublishOutcome>;
  unpublish(work: () => Promise<boolean>): Promise<boolean>;
}

/** Publish one table now and record the outcome. Rejects with the failure, which is then recorded. */
export async function publishAndRecord(
  publisher: Publisher,
  id: ResourceId,
  options: PublishOptions,
): Promise<PublishOutcome> {
  const { fence, traced, publications, taskStatus } = publisher;
  const onProgress = (rows: number, bytes: number): void => {
    fence.progress(id, rows);
    options.onProgress(rows, bytes);
  };
  try {
    if (!(await publisher.isLeader())) return { kind: 'superseded' };
    const outcome = await traced.publish(async () => {
      const started = performance.now();
      try {
        const profile = await publisher.profile();
        const parts = { ...publisher, profile: () => profile };
        const made = await publish(parts, id, { ...options, onProgress });
        logOutcome(publisher, id, made, (performance.now() - started) / 1000);
        if (made.kind === 'published' || made.kind === 'unchanged') await prune(publisher, made);
        return made;
      } catch (error) {
        // A publication that was given up at the end of the process is no failure of the table.
        if (!options.signal.aborted) publisher.metrics.publications.inc({ outcome: failureOf(error) });
        throw error;
      }
    });
    return await record(publisher, id, outcome);
  } catch (error) {
    if (!options.signal.aborted && !isDumperError(error, 'SUPERSEDED')) {
      const reason = errorMessage(error);
      await publications.recordFailure(id, reason).then(
        () => taskStatus?.enqueueStatus(id, { state: 'error', reason: redact(reason) }),
        () => undefined,
      );
    }
    throw error;
  } finally {
    await fence.release(id).catch(() => undefined);
  }
}

/** The outcome for the records and for CKAN; a table that is gone loses its dumps first. */
async function record(
  publisher: Publisher,
  id: ResourceId,
  outcome: PublishOutcome,
): Promise<PublishOutcome> {
  const { publications, taskStatus, store, fence, log } = publisher;
  if (outcome.kind === 'published' || outcome.kind === 'unchanged') {
    const { kind, manifest } = outcome;
    await publications.recordPublished(id, kind, manifest);
    taskStatus?.enqueueStatus(id, { state: 'complete', manifest });
  }
  if (outcome.kind === 'gone') {
    const unpublished = await publisher.traced.unpublish(() => unpublish(store, fence, id));
    log.info({ table: id, unpublished }, 'the dumps of a table that is gone were deleted');
    if (!unpublished) return { kind: 'superseded' };
    await publications.recordRemoved([id], 'table dropped');
  }
  return outcome;
}

function failureOf(error: unknown): 'superseded' | 'failed' {
  return isDumperError(error, 'SUPERSEDED') ? 'superseded' : 'failed';
}

/** A superseded blob outlives every URL that was handed out for it, and the manifests that replicas keep in memory. */
export function pruneAfterSeconds(config: Config): number {
  return config.DUMPER_URL_LIFE_SECONDS + config.DUMPER_RETIRE_MARGIN_SECONDS;
}

/** The next sweep finds what cannot be deleted now: the dump is published all the same. */
async function prune(
  { store, fence, now, retireSeconds, log }: Publisher,
  published: FencedManifest,
): Promise<void> {
  const table = published.manifest.resource_id;
  try {
    const blobs = await pruneSuperseded(store, fence, published, { now: now(), retireSeconds });
    if (blobs > 0) log.info({ table, blobs }, 'superseded blobs were deleted');
  } catch (error) {
    const reason = errorMessage(error);
    log.warn({ table, reason }, 'superseded blobs could not be deleted; the next sweep finds them');
  }
}

function logOutcome(
  { log, metrics }: Publisher,
  id: ResourceId,
  outcome: PublishOutcome,
  seconds: number,
): void {
  metrics.publications.inc({ outcome: outcome.kind });
  if (outcome.kind === 'superseded') log.warn({ table: id, outcome: 'superseded' }, 'publication');
  else if (outcome.kind === 'gone') log.info({ table: id, outcome: 'gone' }, 'publication');
  else {
    const { revision, rows, tier } = outcome.manifest;
    const bytes = blobBytesOf(outcome.manifest);
    if (outcome.kind === 'published') {
      metrics.publicationSeconds.observe(seconds);
      metrics.publishedBytes.inc(bytes);
    }
    const facts = { table: id, outcome: outcome.kind, revision, tier, rows, bytes };
    log.info({ ...facts, seconds: Math.round(seconds * 1000) / 1000 }, 'publication');
  }
}
