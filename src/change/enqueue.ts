/**
 * "Look at this table": where notices, the journal's NOTIFY, the sweep and stale answers come together. All of them
 * are hints; each ends as a job in the queue, and many hints for a table end as one (promise P15).
 */
import type { Queryable } from '../postgres/pool.ts';
import { lookUpTable } from '../postgres/revision.ts';
import type { TableChange, JobTiming, Publications } from '../state/publications.ts';
import { parseResourceId, type ResourceId } from '../postgres/table.ts';
import type { Queue } from './queue.ts';

export interface Enqueue {
  /** Tables that are known to exist, or to have existed; resolves when their jobs are durable. */
  enqueueTables(notices: readonly TableChange[]): Promise<void>;
  /** A reader met a stale or missing dump. Asking for it again does not put its publication off. */
  enqueueStale(id: ResourceId): Promise<void>;
  /** Names from outside, aliases too: those that mean no table, now or before, are dropped. */
  enqueueByName(names: readonly string[]): Promise<void>;
}

export interface EnqueueDeps {
  readonly read: Queryable;
  readonly publications: Publications;
  readonly queue: Pick<Queue, 'send'>;
  readonly timing: JobTiming;
}

export function createEnqueue(deps: EnqueueDeps): Enqueue {
  const enqueueTables = batched<TableChange>(
    ({ id, rebuild, fromReader }) => `${id}/${rebuild === true}/${fromReader === true}`,
    async (notices) => deps.queue.send(await deps.publications.recordChanges(notices, deps.timing)),
  );
  const enqueueByName = batched<string>(
    (name) => name,
    async (names) => {
      const found = await Promise.all(names.map((name) => resolve(deps, name)));
      await enqueueTables(found.filter((notice) => notice !== null));
    },
  );
  const enqueueStale = async (id: ResourceId): Promise<void> => {
    const notice = await resolve(deps, id);
    if (notice !== null) await enqueueTables([{ ...notice, fromReader: true }]);
  };
  return { enqueueTables, enqueueByName, enqueueStale };
}

async function resolve({ read, publications }: EnqueueDeps, name: string): Promise<TableChange | null> {
  const table = await lookUpTable(read, name);
  if (table !== null) return { id: table.id, bytes: table.bytes };
  const id = parseResourceId(name);
  const known = id === null ? null : await publications.get(id);
  return known === null || known.state === 'gone' ? null : { id: known.id };
}

/**
 * Hints that arrive while earlier ones are being dealt with are dealt with together, once each: at most one batch is
 * under way, and callers resolve when the batch that holds theirs is done.
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
