/**
 * "Look at this table": where notices, the journal's NOTIFY, the sweep and stale answers come together. All of them
 * are hints; each ends as a job in the queue, and many hints for a table end as one (promise P15).
 */
import type { Queryable } from '../postgres/pool.ts';
import { lookUp } from '../postgres/revision.ts';
import type { Notice, Pace, Records } from '../state/publications.ts';
import { asResourceId, type ResourceId } from '../postgres/table.ts';
import type { Queue } from './queue.ts';

export interface Look {
  /** Tables that are known to exist, or to have existed; resolves when their jobs are durable. */
  at(notices: readonly Notice[]): Promise<void>;
  /** A reader met a stale or missing dump. Asking for it again does not put its publication off. */
  stale(id: ResourceId): Promise<void>;
  /** Names from outside, aliases too: those that mean no table, now or before, are dropped. */
  named(names: readonly string[]): Promise<void>;
}

export interface LookWorld {
  readonly read: Queryable;
  readonly records: Records;
  readonly queue: Pick<Queue, 'send'>;
  readonly pace: Pace;
}

export function createLook(world: LookWorld): Look {
  const at = batched<Notice>(
    ({ id, rebuild, fromReader }) => `${id}/${rebuild === true}/${fromReader === true}`,
    async (notices) => world.queue.send(await world.records.noticed(notices, world.pace)),
  );
  const named = batched<string>(
    (name) => name,
    async (names) => {
      const found = await Promise.all(names.map((name) => resolve(world, name)));
      await at(found.filter((notice) => notice !== null));
    },
  );
  const stale = async (id: ResourceId): Promise<void> => {
    const notice = await resolve(world, id);
    if (notice !== null) await at([{ ...notice, fromReader: true }]);
  };
  return { at, named, stale };
}

async function resolve({ read, records }: LookWorld, name: string): Promise<Notice | null> {
  const table = await lookUp(read, name);
  if (table !== null) return { id: table.id, bytes: table.bytes };
  const id: ResourceId = asResourceId(name);
  const known = name.includes('\0') ? null : await records.get(id);
  return known === null || known.life === 'gone' ? null : { id };
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
