/**
 * A job of the queue: wait until the table's next run, publish it, and tell the queue what to do with the job.
 *
 * Whatever the order of notices, crashes and retries, a job only compares the table with its manifest and makes the two
 * equal; so any job may be lost, repeated or late (P5: replicas never interleave; P8: one table never holds up others).
 */
import { isDumperError } from '../errors.ts';
import type { Queryable } from '../postgres/pool.ts';
import { tableState } from '../postgres/revision.ts';
import type { ResourceId } from '../postgres/table.ts';
import { publishAndRecord, type Publisher } from '../publish/publisher.ts';
import type { JobRequest, JobTiming, Publications } from '../state/publications.ts';
import type { HandleJob, JobResult } from './queue.ts';

interface WorkerDeps {
  readonly publisher: Publisher;
  readonly publications: Pick<Publications, 'nextRun' | 'recordChanges'>;
  readonly read: Queryable;
  readonly timing: JobTiming;
  readonly smallTableBytes: number;
  /** Aborts the publications that run, when the process ends and their grace is over. */
  readonly draining: AbortSignal;
  /** A change was published so many seconds after it was first noticed. */
  readonly onLag?: ((seconds: number) => void) | undefined;
}

/** How long a table that another worker holds is left alone, in seconds. */
const busySeconds = 5;

/** The queue's handler. This process works on a table for one job at a time, whichever queue the job came by. */
export function createJobHandler(deps: WorkerDeps): HandleJob {
  const running = new Set<ResourceId>();
  return async function handleJob(id, attempts, jobSignal) {
    const began = performance.now();
    const nextRun = await deps.publications.nextRun(id, deps.timing, attempts > 0);
    if (nextRun.delaySeconds > 0.5) return { kind: 'reschedule', request: nextRun };
    if (running.has(id)) return whenFree(nextRun);
    running.add(id);
    try {
      const rerouted = await rerouteBySize(deps, nextRun);
      if (rerouted !== null) return rerouted;
      const signal = AbortSignal.any([jobSignal, deps.draining]);
      const options = { force: nextRun.rebuild, signal, onProgress: () => undefined };
      const outcome = await publishAndRecord(deps.publisher, id, options);
      if (outcome.kind === 'published')
        deps.onLag?.(nextRun.staleSeconds + (performance.now() - began) / 1000);
      return outcome.kind === 'superseded' ? whenFree(nextRun) : { kind: 'done' };
    } catch (error) {
      if (isDumperError(error, 'SUPERSEDED')) return whenFree(nextRun);
      throw error;
    } finally {
      running.delete(id);
    }
  };
}

function whenFree(request: JobRequest): JobResult {
  return { kind: 'reschedule', request: { ...request, delaySeconds: busySeconds } };
}

/** A table that turned out to be large leaves the small tables' slots (and the other way about). */
async function rerouteBySize(
  { read, publications, timing, smallTableBytes }: WorkerDeps,
  { id, tableBytes }: JobRequest,
): Promise<JobResult | null> {
  const bytes = (await tableState(read, id))?.bytes ?? null;
  if (bytes === null || bytes <= smallTableBytes === tableBytes <= smallTableBytes) return null;
  const [request] = await publications.recordChanges([{ id, bytes }], timing);
  return request === undefined ? null : { kind: 'reschedule', request: { ...request, delaySeconds: 0 } };
}
