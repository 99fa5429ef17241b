/** Attempts that are repeated with growing pauses: the service starts before the services it needs. */
import { setTimeout as delay } from 'node:timers/promises';
import { errorMessage } from '../errors.ts';
import type { Log } from '../log.ts';

interface BackoffOptions {
  readonly firstSeconds: number;
  readonly mostSeconds: number;
}

/** The pause after the n-th failure in a row (1: the first), in seconds: each is twice the one before, up to a bound. */
export function backoff({ firstSeconds, mostSeconds }: BackoffOptions): (failures: number) => number {
  return (failures) => Math.min(firstSeconds * 2 ** (failures - 1), mostSeconds);
}

interface RetryOptions {
  /** What is waited for, for the log. */
  readonly what: string;
  readonly log: Log;
  readonly signal: AbortSignal;
  /** Called with the reason of each failed attempt. */
  readonly onFault?: (reason: string) => void;
  /** Longest pause between two attempts; the first is half a second. */
  readonly mostSeconds?: number;
}

/** Try until it works; rejects only when the signal aborts. A fault is logged when its reason changes. */
export async function retry<Value>(work: () => Promise<Value>, options: RetryOptions): Promise<Value> {
  const pauseAfter = backoff({ firstSeconds: 0.5, mostSeconds: options.mostSeconds ?? 10 });
  let lastReason = '';
  for (let failures = 1; ; failures += 1) {
    options.signal.throwIfAborted();
    try {
      return await work();
    } catch (error) {
      const reason = errorMessage(error);
      options.onFault?.(reason);
      if (reason !== lastReason) options.log.warn({ reason }, `${options.what}: not yet; trying again`);
      lastReason = reason;
    }
    await delay(pauseAfter(failures) * 1000, undefined, { signal: options.signal });
  }
}
