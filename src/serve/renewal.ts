/**
 * When CKAN is asked anew about a decision that still counts, and how long a caller waits for its answer (P10, lost access
 * ends in time: a decision's life runs from when it was asked for, so that a slow CKAN must be asked early).
 *
 * With life, wait and CKAN's latency as they are measured:
 *
 * | CKAN | asked anew |
 * |---|---|
 * | fast | in the last tenth of the life |
 * | slower | a latency and a quarter before the end |
 * | nearly as slow as the life is long | while the question before is under way, so that every caller finds a decision or an answer that comes within its wait |
 * | slower than life and wait together | one question after the other: nothing helps but a grace |
 */

interface Times {
  readonly lifeMilliseconds: number;
  readonly waitMilliseconds: number;
  /** The longest of the last answers. */
  readonly latencyMilliseconds: number;
}

const leastPauseMilliseconds = 1000;
const marginMilliseconds = 500;

/** The pause between two questions about one table that is asked for all the time. */
export function renewalPause({ lifeMilliseconds, waitMilliseconds, latencyMilliseconds }: Times): number {
  const seamless = Math.max(lifeMilliseconds - 1.25 * latencyMilliseconds, latencyMilliseconds / 2);
  const served = lifeMilliseconds + waitMilliseconds - latencyMilliseconds - marginMilliseconds;
  if (served <= 0) return latencyMilliseconds;
  const pause = Math.max(Math.min(seamless, served), latencyMilliseconds / 4, leastPauseMilliseconds);
  return Math.min(pause, 0.9 * lifeMilliseconds);
}

/** How long a caller that has a grace to fall back on waits for CKAN. */
const shortWaitMilliseconds = 1000;

interface Waiting {
  /** How long ago the question was asked. */
  readonly ageMilliseconds: number;
  readonly hasFallback: boolean;
}

/** Nobody waits for an answer that is overdue: CKAN is silent, or slower than it has been. */
export function callerWait(
  { waitMilliseconds, latencyMilliseconds }: Omit<Times, 'lifeMilliseconds'>,
  { ageMilliseconds, hasFallback }: Waiting,
): number {
  const wait = hasFallback ? Math.min(waitMilliseconds, shortWaitMilliseconds) : waitMilliseconds;
  const overdueAfter = hasFallback ? wait : Math.max(wait, 2 * latencyMilliseconds);
  return Math.max(0, Math.min(wait, overdueAfter - ageMilliseconds));
}
