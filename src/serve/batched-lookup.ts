/**
 * A table's token for each request, without a query for each: requests that arrive while a query of that table is under
 * way share the next one with all others that wait, and the first query begins only when all requests that have arrived
 * were read. A query begins after each of its requests, so its token is as exact as that of a query of their own (P4,
 * no stale blob); a table that thousands ask for at once costs Postgres one query at a time.
 */
import { nextTick } from 'node:process';
import type { Queryable } from '../postgres/pool.ts';
import { lookUpTable, type FoundTable } from '../postgres/revision.ts';

/** One query, for all requests that wait for it. */
export interface TableLookup<Found, Shared> {
  readonly found: Promise<Found | null>;
  /** What else these requests share, by a key that tells which of them are alike; it ends with the lookup. */
  readonly shared: Map<string, Shared>;
}

/** The lookup of a table or alias; the requests that share a query get the same one. */
type BatchedLookup<Shared> = (name: string) => TableLookup<FoundTable, Shared>;

interface WaitingLookup<Shared> extends TableLookup<FoundTable, Shared> {
  readonly resolve: (found: FoundTable | null) => void;
  readonly reject: (error: unknown) => void;
}

export function createBatchedLookup<Shared>(db: Queryable): BatchedLookup<Shared> {
  const running = new Set<string>();
  const waiting = new Map<string, WaitingLookup<Shared>>();

  const start = (name: string, lookup: WaitingLookup<Shared>): void => {
    waiting.delete(name);
    running.add(name);
    const startNext = (): void => {
      running.delete(name);
      const next = waiting.get(name);
      if (next !== undefined) start(name, next);
    };
    lookUpTable(db, name).then(
      (found) => {
        startNext();
        // Postgres works on the next query while the requests of this one are answered.
        nextTick(lookup.resolve, found);
      },
      (error: unknown) => {
        startNext();
        lookup.reject(error);
      },
    );
  };

  return (name) => {
    const known = waiting.get(name);
    if (known !== undefined) return known;
    const { promise: found, resolve, reject } = Promise.withResolvers<FoundTable | null>();
    const lookup = { found, shared: new Map<string, Shared>(), resolve, reject };
    waiting.set(name, lookup);
    if (!running.has(name)) setImmediate(start, name, lookup);
    return lookup;
  };
}
