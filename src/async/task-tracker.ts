/** Work in the background: its caller does not wait for it, but shutdown does, before it closes what the work needs. */
export interface TaskTracker {
  /** The same promise, remembered until it settles. */
  add<Value>(work: Promise<Value>): Promise<Value>;
  /** Resolves when no work is running any more, whether it succeeded or failed. */
  settled(): Promise<void>;
}

export function createTaskTracker(): TaskTracker {
  const works = new Set<Promise<unknown>>();
  return {
    add: (work) => {
      works.add(work);
      const forget = (): void => void works.delete(work);
      work.then(forget, forget);
      return work;
    },
    settled: async () => {
      while (works.size > 0) await Promise.allSettled(works);
    },
  };
}
