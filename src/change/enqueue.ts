/**
 * Tables into the queue: where notices, the journal's NOTIFY, the sweep and stale answers come together. All of them
 * are hints; each ends as a job, and many hints for a table end as one job (P15: a flood costs one publication).
 */
import type { TaskStatusReporter } from '../ckan/task-status.ts';
import type { Queryable } from '../postgres/pool.ts';
import { lookUpSizes } from '../postgres/revision.ts';
import { parseResourceId, type ResourceId } from '../postgres/table.ts';
import type { JobRequest, JobTiming, Publications, TableChange } from '../state/publications.ts';
import type { Queue } from './queue.ts';

export interface Enqueue {
  /** Tables that are known to exist, or to have existed; resolves when their jobs are durable. */
  enqueueTables(changes: readonly TableChange[]): Promise<void>;
  /** A reader met a stale or missing dump. A second reader does not put its publication off. */
  enqueueStale(id: ResourceId): Promise<void>;
  /** Names from outside, aliases too: names that mean no table, now or before, are dropped. */
  enqueueByName(names: readonly string[]): Promise<void>;
  /** Publish these at once, whether they changed or not. */
  enqueueRebuild(ids: readonly ResourceId[]): Promise<void>;
}

interface EnqueueDeps {
  readonly read: Queryable;
  readonly publications: Pick<Publications, 'known' | 'recordChanges'>;
  readonly queue: Pick<Queue, 'send' | 'sendNow'>;
  readonly timing: JobTiming;
  /** Null: CKAN is not told. */
  readonly taskStatus: TaskStatusReporter | null;
}

export function createEnqueue(deps: EnqueueDeps): Enqueue {
  const enqueueTables = batched<TableChange>(
    ({ id, rebuild, fromReader }) => `${id}/${rebuild === true}/${fromReader === true}`,
    async (changes) => deps.queue.send(await recordPending(deps, changes)),
  );
  const enqueueByName = batched<string>(
    (name) => name,
    async (names) => enqueueTables(await tablesOf(deps, names)),
  );
  return {
    enqueueTables,
    enqueueByName,
    enqueueStale: async (id) => {
      const changes = await tablesOf(deps, [id]);
      await enqueueTables(changes.map((change) => ({ ...change, fromReader: true })));
    },
    enqueueRebuild: async (ids) => {
      const changes = ids.map((id) => ({ id, rebuild: true }));
      await deps.queue.sendNow(await recordPending(deps, changes));
    },
  };
}

/** A change for the records and for CKAN; answers when its job is to run. */
async function recordPending(
  { publications, timing, taskStatus }: EnqueueDeps,
  changes: readonly TableChange[],
): Promise<JobRequest[]> {
  const requests = await publications.recordChanges(changes, timing);
  for (const { id } of changes) taskStatus?.enqueueStatus(id, { state: 'pending' });
  return requests;
}

/** The tables that names or aliases mean, in two questions whatever their number. */
async function tablesOf(
  { read, publications }: EnqueueDeps,
  names: readonly string[],
): Promise<readonly TableChange[]> {
  const changes = new Map<ResourceId, TableChange>();
  const found = await lookUpSizes(read, names);
  for (const { id, bytes } of found.values()) changes.set(id, { id, bytes });
  const others = names.filter((name) => !found.has(name)).map(parseResourceId);
  const ids = others.filter((id) => id !== null);
  for (const id of ids.length === 0 ? [] : await publications.known(ids)) changes.set(id, { id });
  return [...changes.values()];
}

/**
 * Hints that arrive while earlier ones are handled are handled together, once each: at most one batch runs at a time,
 * and callers resolve when the batch that holds theirs is done.
 */
function batched<Entry>(
  keyOf: (entry: Entry) => string,
  work: (entries: readonly Entry[]) => Promise<void>,
): (entries: readonly Entry[]) => Promise<void> {
  let waiting = new Map<string, Entry>();
  let next: Promise<void> | null = null;
  let current: Promise<void> = Promise.resolve();
  return (entries) => {
    if (entries.length === 0) return Promise.resolve();
    for (const entry of entries) waiting.set(keyOf(entry), entry);
    next ??= current
      .catch(() => undefined)
      .then(() => {
        const batch = [...waiting.values()];
        waiting = new Map();
        next = null;
        current = work(batch);
        return current;
      });
    return next;
  };
}
