/**
 * One attempt at a table: wait until it is due, publish or withdraw, remember the outcome, let go of the fence.
 *
 * Whatever the order of notices, crashes and retries, an attempt only ever compares the table with its manifest and
 * makes them equal; so any attempt may be lost, doubled or late (promises P5 and P8).
 */
import type { PublishOutcome } from '../publish/publish.ts';
import { isDumperError, errorMessage } from '../errors.ts';
import type { Fence } from '../state/fence.ts';
import type { JobRequest, JobTiming, Publications } from '../state/publications.ts';
import type { ResourceId } from '../postgres/table.ts';
import type { JobResult } from './queue.ts';

export interface PublishRequest {
  /** Publish even if the revision is the published one. */
  readonly force: boolean;
  readonly signal: AbortSignal;
  readonly onProgress: (rows: number) => void;
}

export interface WorkerDeps {
  readonly fence: Fence;
  readonly publications: Publications;
  readonly publish: (id: ResourceId, request: PublishRequest) => Promise<PublishOutcome>;
  /** Remove manifest and blobs; false when another worker took the table over. */
  readonly unpublish: (id: ResourceId) => Promise<boolean>;
  readonly timing: JobTiming;
  readonly smallTableBytes: number;
  /** The table's size now, null when it is gone. */
  readonly sizeOf: (id: ResourceId) => Promise<number | null>;
  /** A change was published so many seconds after the first word of it. */
  readonly onLag?: (seconds: number) => void;
}

/** How long a table that someone else holds is left alone, in seconds. */
const busySeconds = 5;

/** Publish one table now and remember the outcome. Rejects with the failure, which is then recorded. */
export async function publishAndRecord(
  deps: WorkerDeps,
  id: ResourceId,
  options: { readonly force: boolean; readonly signal: AbortSignal },
): Promise<PublishOutcome> {
  const onProgress = (rows: number): void => deps.fence.progress(id, rows);
  try {
    const outcome = await deps.publish(id, { ...options, onProgress });
    return await recordOutcome(deps, id, outcome);
  } catch (error) {
    if (!options.signal.aborted && !isDumperError(error, 'SUPERSEDED')) {
      await deps.publications.recordFailure(id, errorMessage(error)).catch(() => undefined);
    }
    throw error;
  } finally {
    await deps.fence.release(id).catch(() => undefined);
  }
}

async function recordOutcome(
  deps: WorkerDeps,
  id: ResourceId,
  outcome: PublishOutcome,
): Promise<PublishOutcome> {
  if (outcome.kind === 'published' || outcome.kind === 'unchanged')
    await deps.publications.recordPublished(id, outcome.kind, outcome.manifest);
  if (outcome.kind === 'gone') {
    if (!(await deps.unpublish(id))) return { kind: 'superseded' };
    await deps.publications.recordRemoved([id], 'table dropped');
  }
  return outcome;
}

/** The queue's handler. A table is attempted by one job of this process at a time, whichever queue it came by. */
export function createJobHandler(
  deps: WorkerDeps,
): (id: ResourceId, attempts: number, signal: AbortSignal) => Promise<JobResult> {
  const running = new Set<ResourceId>();
  return async (id, attempts, signal) => {
    const began = performance.now();
    const due = await deps.publications.nextRun(id, deps.timing, attempts > 0);
    if (due.delaySeconds > 0.5) return { kind: 'again', appointment: due };
    if (running.has(id)) return later(due);
    running.add(id);
    try {
      const moved = await rerouteBySize(deps, due);
      if (moved !== null) return moved;
      const outcome = await publishAndRecord(deps, id, { force: due.rebuild, signal });
      if (outcome.kind === 'published') deps.onLag?.(due.staleSeconds + (performance.now() - began) / 1000);
      return outcome.kind === 'superseded' ? later(due) : { kind: 'done' };
    } catch (error) {
      if (isDumperError(error, 'SUPERSEDED')) return later(due);
      throw error;
    } finally {
      running.delete(id);
    }
  };
}

function later(due: JobRequest): JobResult {
  return { kind: 'again', appointment: { ...due, delaySeconds: busySeconds } };
}

/** A table that turned out to be large leaves the small tables' slots (and the other way about). */
async function rerouteBySize(deps: WorkerDeps, due: JobRequest): Promise<JobResult | null> {
  const bytes = await deps.sizeOf(due.id);
  const isSmall = (size: number): boolean => size <= deps.smallTableBytes;
  if (bytes === null || isSmall(bytes) === isSmall(due.tableBytes)) return null;
  const [appointment] = await deps.publications.recordChanges([{ id: due.id, bytes }], deps.timing);
  return appointment === undefined
    ? null
    : { kind: 'again', appointment: { ...appointment, delaySeconds: 0 } };
}
