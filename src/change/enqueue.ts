/**
 * Tables into the queue: where notices, the journal's NOTIFY, the sweep and stale answers come together. All of them
 * are hints; each ends as a job, and many hints for a table end as one job (P15: a flood costs one publication).
 */
import type { TaskStatusReporter } from '../ckan/task-status.ts';
import type { Queryable } from '../postgres/pool.ts';
import { lookUpTable } from '../postgres/revision.ts';
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
  readonly publications: Pick<Publications, 'get' | 'recordChanges'>;
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
    async (names) => {
      const found = await Promise.all(names.map((name) => tableOf(deps, name)));
      await enqueueTables(found.filter((change) => change !== null));
    },
  );
  return {
    enqueueTables,
    enqueueByName,
    enqueueStale: async (id) => {
      const change = await tableOf(deps, id);
      if (change !== null) await enqueueTables([{ ...change, fromReader: true }]);
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

async function tableOf({ read, publications }: EnqueueDeps, name: string): Promise<TableChange | null> {
  const table = await lookUpTable(read, name);
  if (table !== null) return { id: table.id, bytes: table.bytes };
  const id = parseResourceId(name);
  const known = id === null ? null : await publications.get(id);
  return known === null || known.state === 'gone' ? null : { id: known.id };
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
