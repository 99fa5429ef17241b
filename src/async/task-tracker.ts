/** Work that whoever began it does not wait for: the end does, before what the work needs is closed. */
export interface TaskTracker {
  /** The same promise, remembered until it settles. */
  add<Value>(work: Promise<Value>): Promise<Value>;
  /** Resolves when nothing is under way, whatever became of it. */
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
