/**
 * A table's token for each request, without a query for each: whoever asks while a query of that table is under way
 * shares the next one with all others who wait, and the first query begins only when all requests that have arrived
 * were read. It begins after each of their requests, so what it says is as exact as a query of their own (promise P4); a
 * table asked for by thousands at once costs Postgres one query at a time.
 */
import { nextTick } from 'node:process';
import { lookUpTable, type FoundTable } from '../postgres/revision.ts';
import type { Queryable } from '../postgres/pool.ts';

/** Whoever shares a query gets the same promise. */
export type BatchedLookup = (name: string) => Promise<FoundTable | null>;

type Group = PromiseWithResolvers<FoundTable | null>;

export function createBatchedLookup(db: Queryable): BatchedLookup {
  const running = new Set<string>();
  const waiting = new Map<string, Group>();

  const start = (name: string, group: Group): void => {
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
        // Postgres works on the next one while this one's askers are answered.
        nextTick(group.resolve, found);
      },
      (error: unknown) => {
        startNext();
        group.reject(error);
      },
    );
  };

  return (name) => {
    const known = waiting.get(name);
    if (known !== undefined) return known.promise;
    const group: Group = Promise.withResolvers();
    waiting.set(name, group);
    if (!running.has(name)) setImmediate(start, name, group);
    return group.promise;
  };
}
