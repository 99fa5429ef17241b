/** A cache of bounded size that removes the least recently used entries first. */

/** A second bound besides the number of entries: the sum of what `weigh` returns stays within `most`. */
interface Weight<Value> {
  readonly most: number;
  readonly weigh: (value: Value) => number;
}

interface Entry<Value> {
  readonly value: Value;
  readonly weight: number;
}

/** Bounded, so that a flood of callers cannot fill the memory. */
export function createLruCache<Value>(
  limit: number,
  { most, weigh }: Weight<Value> = { most: Infinity, weigh: () => 0 },
): {
  get(key: string): Value | undefined;
  set(key: string, value: Value): void;
  delete(key: string): void;
} {
  const entries = new Map<string, Entry<Value>>();
  let total = 0;
  const remove = (key: string): Entry<Value> | undefined => {
    const entry = entries.get(key);
    if (entries.delete(key)) total -= entry?.weight ?? 0;
    return entry;
  };
  const add = (key: string, entry: Entry<Value>): void => {
    entries.set(key, entry);
    total += entry.weight;
  };
  return {
    get: (key) => {
      const entry = remove(key);
      if (entry !== undefined) add(key, entry);
      return entry?.value;
    },
    set: (key, value) => {
      remove(key);
      add(key, { value, weight: weigh(value) });
      for (const oldest of entries.keys()) {
        if (entries.size <= limit && total <= most) break;
        remove(oldest);
      }
    },
    delete: (key) => void remove(key),
  };
}
