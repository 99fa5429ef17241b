/** Work on many items, a bounded number at once. */

/**
 * Run `work` on each item, at most `limit` at once; results in the items' order. Rejects with the first failure;
 * after it no further item is started.
 */
export async function mapLimit<Item, Result>(
  items: Iterable<Item>,
  limit: number,
  work: (item: Item, index: number) => Promise<Result>,
): Promise<Result[]> {
  const results: Result[] = [];
  const entries = [...items].entries();
  let failed = false;
  const runNext = async (): Promise<void> => {
    for (const [index, item] of entries) {
      if (failed) return;
      try {
        results[index] = await work(item, index);
      } catch (error) {
        failed = true;
        throw error;
      }
    }
  };
  await Promise.all(Array.from({ length: Math.max(1, limit) }, runNext));
  return results;
}
