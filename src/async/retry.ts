/** What must be had before a part can work, asked for until it is there: the service starts before its neighbours. */
import { setTimeout as delay } from 'node:timers/promises';
import { errorMessage } from '../errors.ts';
import type { Log } from '../log.ts';

export interface RetryOptions {
  /** What is waited for, for the log. */
  readonly what: string;
  readonly log: Log;
  readonly signal: AbortSignal;
  /** Hears why each attempt failed. */
  readonly onFault?: (reason: string) => void;
  /** Longest pause between two attempts, in seconds; they begin at half a second and double. */
  readonly mostSeconds?: number;
}

/** Try until it works; rejects only when the signal aborts. A fault is logged when its reason changes. */
export async function retry<Value>(work: () => Promise<Value>, options: RetryOptions): Promise<Value> {
  let pauseSeconds = 0.5;
  let lastReason = '';
  for (;;) {
    options.signal.throwIfAborted();
    try {
      return await work();
    } catch (error) {
      const reason = errorMessage(error);
      options.onFault?.(reason);
      if (reason !== lastReason) options.log.warn({ reason }, `${options.what}: not yet; trying again`);
      lastReason = reason;
    }
    await delay(pauseSeconds * 1000, undefined, { signal: options.signal });
    pauseSeconds = Math.min(pauseSeconds * 2, options.mostSeconds ?? 10);
  }
}
