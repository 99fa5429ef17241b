/** A sweep of thousands of tables must not hold up the end: once the signal aborts, its next step is none (promise P20). */
import type { BlobStore } from '../blob-store/blob-store.ts';
import type { Queryable } from '../postgres/pool.ts';

export interface Abortable {
  readonly store: BlobStore;
  readonly write: Queryable | null;
}

export function withAbort<World extends Abortable>(deps: World, signal: AbortSignal): World {
  const { store, write } = deps;
  return {
    ...deps,
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
