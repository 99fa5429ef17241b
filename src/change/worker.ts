/**
 * One attempt at a table: wait until it is due, publish or withdraw, remember the outcome, let go of the fence.
 *
 * Whatever the order of notices, crashes and retries, an attempt only ever compares the table with its manifest and
 * makes them equal; so any attempt may be lost, doubled or late (promises P5 and P8).
 */
import type { PublishOutcome } from '../publish/publish.ts';
import { isDumperError, reasonOf } from '../errors.ts';
import type { Fence } from '../state/fence.ts';
import type { Appointment, Pace, Records } from '../state/publications.ts';
import type { ResourceId } from '../postgres/table.ts';
import type { JobEnd } from './queue.ts';

export interface PublishRequest {
  /** Publish even if the revision is the published one. */
  readonly force: boolean;
  readonly signal: AbortSignal;
  readonly onProgress: (rows: number) => void;
}

export interface AttemptWorld {
  readonly fence: Fence;
  readonly records: Records;
  readonly publish: (id: ResourceId, request: PublishRequest) => Promise<PublishOutcome>;
  /** Remove manifest and blobs; false when another worker took the table over. */
  readonly withdraw: (id: ResourceId) => Promise<boolean>;
  readonly pace: Pace;
  readonly smallTableBytes: number;
  /** The table's size now, null when it is gone. */
  readonly sizeOf: (id: ResourceId) => Promise<number | null>;
  /** A change was published so many seconds after the first word of it. */
  readonly onLag?: (seconds: number) => void;
}

/** How long a table that someone else holds is left alone, in seconds. */
const busySeconds = 5;

/** Publish one table now and remember the outcome. Rejects with the failure, which is then recorded. */
export async function attempt(
  world: AttemptWorld,
  id: ResourceId,
  options: { readonly force: boolean; readonly signal: AbortSignal },
): Promise<PublishOutcome> {
  const onProgress = (rows: number): void => world.fence.progress(id, rows);
  try {
    const outcome = await world.publish(id, { ...options, onProgress });
    return await remember(world, id, outcome);
  } catch (error) {
    if (!options.signal.aborted && !isDumperError(error, 'SUPERSEDED')) {
      await world.records.broke(id, reasonOf(error)).catch(() => undefined);
    }
    throw error;
  } finally {
    await world.fence.release(id).catch(() => undefined);
  }
}

async function remember(
  world: AttemptWorld,
  id: ResourceId,
  outcome: PublishOutcome,
): Promise<PublishOutcome> {
  if (outcome.kind === 'published') await world.records.learned(id, 'switched', outcome.manifest);
  if (outcome.kind === 'unchanged') await world.records.learned(id, 'confirmed', outcome.manifest);
  if (outcome.kind === 'gone') {
    if (!(await world.withdraw(id))) return { kind: 'superseded' };
    await world.records.lost([id], 'dropped');
  }
  return outcome;
}

/** The queue's handler. A table is attempted by one job of this process at a time, whichever queue it came by. */
export function createHandler(
  world: AttemptWorld,
): (id: ResourceId, attempts: number, signal: AbortSignal) => Promise<JobEnd> {
  const running = new Set<ResourceId>();
  return async (id, attempts, signal) => {
    const began = performance.now();
    const due = await world.records.due(id, world.pace, attempts > 0);
    if (due.waitSeconds > 0.5) return { kind: 'again', appointment: due };
    if (running.has(id)) return later(due);
    running.add(id);
    try {
      const moved = await otherSlots(world, due);
      if (moved !== null) return moved;
      const outcome = await attempt(world, id, { force: due.rebuild, signal });
      if (outcome.kind === 'published') world.onLag?.(due.staleSeconds + (performance.now() - began) / 1000);
      return outcome.kind === 'superseded' ? later(due) : { kind: 'done' };
    } catch (error) {
      if (isDumperError(error, 'SUPERSEDED')) return later(due);
      throw error;
    } finally {
      running.delete(id);
    }
  };
}

function later(due: Appointment): JobEnd {
  return { kind: 'again', appointment: { ...due, waitSeconds: busySeconds } };
}

/** A table that turned out to be large leaves the small tables' slots (and the other way about). */
async function otherSlots(world: AttemptWorld, due: Appointment): Promise<JobEnd | null> {
  const bytes = await world.sizeOf(due.id);
  const isSmall = (size: number): boolean => size <= world.smallTableBytes;
  if (bytes === null || isSmall(bytes) === isSmall(due.tableBytes)) return null;
  const [appointment] = await world.records.noticed([{ id: due.id, bytes }], world.pace);
  return appointment === undefined
    ? null
    : { kind: 'again', appointment: { ...appointment, waitSeconds: 0 } };
}
