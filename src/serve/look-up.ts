/**
 * A table's token for each request, without a query for each: whoever asks while a query of that table is under way
 * shares the next one with all others who wait, and a query begins only when all requests that have arrived were read.
 * It begins after each of their requests, so what it says is as exact as a query of their own (promise P4); a table
 * asked for by thousands at once costs Postgres one query at a time.
 */
import { setImmediate as endOfTurn } from 'node:timers/promises';
import { lookUp, type FoundTable } from '../revision.ts';
import type { Queryable } from '../postgres.ts';

export type LookUp = (name: string) => Promise<FoundTable | null>;

export function createLookUp(db: Queryable): LookUp {
  const running = new Map<string, Promise<unknown>>();
  const next = new Map<string, Promise<FoundTable | null>>();

  const start = (name: string): Promise<FoundTable | null> => {
    next.delete(name);
    const asked = lookUp(db, name);
    const over: Promise<unknown> = asked
      .catch(() => undefined)
      .then(() => {
        if (running.get(name) === over) running.delete(name);
      });
    running.set(name, over);
    return asked;
  };

  return (name) => {
    const waiting =
      next.get(name) ??
      Promise.resolve(running.get(name))
        .then(() => endOfTurn())
        .then(() => start(name));
    next.set(name, waiting);
    return waiting;
  };
}

const lookUps = new WeakMap<Queryable, LookUp>();

/** The one look-up of a pool. */
export function lookUpOf(db: Queryable): LookUp {
  const known = lookUps.get(db) ?? createLookUp(db);
  lookUps.set(db, known);
  return known;
}
