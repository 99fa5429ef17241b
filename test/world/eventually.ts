/** Waits for a condition instead of sleeping: asks again until the answer holds, and says what it last saw. */
import { setTimeout as delay } from 'node:timers/promises';

/**
 * Ask until `look` gives something truthy, and return it; rejects after `seconds` with the last error or `what`. A wait
 * for what takes longer by its nature (a publication, a back-off, a process that starts) names its own `seconds`.
 */
export async function eventually<Seen>(
  what: string,
  look: () => Seen | Promise<Seen>,
  { seconds = 10 }: { readonly seconds?: number } = {},
): Promise<NonNullable<Seen>> {
  const deadline = performance.now() + seconds * 1000;
  for (;;) {
    const seen = await attempt(look);
    if (seen.value) return seen.value;
    if (performance.now() > deadline) {
      throw new Error(`not within ${seconds} s: ${what}`, { cause: seen.error });
    }
    await delay(20);
  }
}

async function attempt<Seen>(look: () => Seen | Promise<Seen>): Promise<{ value?: Seen; error?: unknown }> {
  try {
    return { value: await look() };
  } catch (error) {
    return { error };
  }
}
