/**
 * A second attempt where the first takes much longer than usual: one worker of CKAN that hangs, or one connection that
 * broke in silence, then costs a moment. Bounded, so that a CKAN that becomes slow is not asked twice as much.
 */
import { createLatency } from './latency.ts';

/** Sends once, and once more where the answer is late; the first that `isGood` counts, and the other is cancelled. */
type Hedge<Sent> = (
  send: (isSecond: boolean, cancel: AbortSignal) => Promise<Sent>,
  isGood: (sent: Sent) => boolean,
) => Promise<Sent>;

const leastMilliseconds = 1000;
const timesUsual = 3;
const atOnce = 2;
/** One second attempt for so many questions. */
const questionsEach = 10;
const mostSaved = 4;

export function createHedge<Sent>(now: () => number): Hedge<Sent> {
  const latency = createLatency();
  let budget = mostSaved;
  let running = 0;
  return async (send, isGood) => {
    budget = Math.min(budget + 1 / questionsEach, mostSaved);
    const cancelling = new AbortController();
    const started = now();
    const first = send(false, cancelling.signal);
    const usual = latency.median();
    const late = usual === null ? null : lateAfter(Math.max(timesUsual * usual, leastMilliseconds));
    try {
      const isLate = late !== null && (await Promise.race([first.then(() => false), late.passed]));
      if (!isLate || budget < 1 || running >= atOnce) return await first;
      budget -= 1;
      running += 1;
      const second = send(true, cancelling.signal).finally(() => (running -= 1));
      return await firstGood(first, second, isGood);
    } finally {
      late?.cancel();
      cancelling.abort();
      void first.then((sent) => isGood(sent) && latency.record(now() - started));
    }
  };
}

function lateAfter(milliseconds: number): { readonly passed: Promise<true>; cancel(): void } {
  const { promise: passed, resolve } = Promise.withResolvers<true>();
  const timer = setTimeout(() => resolve(true), milliseconds);
  return { passed, cancel: () => clearTimeout(timer) };
}

async function firstGood<Sent>(
  one: Promise<Sent>,
  other: Promise<Sent>,
  isGood: (sent: Sent) => boolean,
): Promise<Sent> {
  const [sooner, later] = await Promise.race([
    one.then((sent) => [sent, other] as const),
    other.then((sent) => [sent, one] as const),
  ]);
  return isGood(sooner) ? sooner : later;
}
