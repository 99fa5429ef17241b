/** A sweep of thousands of tables must not hold up the end: once the signal aborts, its next step is none (promise P20). */
import type { BlobStore } from '../blob-store/blob-store.ts';
import type { Queryable } from '../postgres/pool.ts';

export interface Endable {
  readonly store: BlobStore;
  readonly write: Queryable | null;
}

export function endingWith<World extends Endable>(world: World, signal: AbortSignal): World {
  const { store, write } = world;
  return {
    ...world,
    store: {
      ...store,
      list: async function* (under) {
        for await (const entry of store.list(under)) {
          signal.throwIfAborted();
          yield entry;
        }
      },
      head: async (key) => {
        signal.throwIfAborted();
        return store.head(key);
      },
      readSmall: async (key) => {
        signal.throwIfAborted();
        return store.readSmall(key);
      },
    },
    write: write && {
      query: async (query, values) => {
        signal.throwIfAborted();
        return write.query(query, values);
      },
    },
  };
}
