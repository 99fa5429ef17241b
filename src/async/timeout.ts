/** A deadline around a promise: whoever does not settle in time is left behind, and its timer never outlives it. */

export interface TimeoutOptions {
  readonly milliseconds: number;
  /** What the caller gets when the time is over. */
  readonly onTimeout: () => Error;
  /** Ends the wait early; rejects with what `onAbort` makes, else with the signal's reason. */
  readonly signal?: AbortSignal | undefined;
  readonly onAbort?: () => Error;
}

/**
 * Settles as `work` does; rejects when the time is over or the signal aborts first. The work itself is not stopped: pass
 * it a signal where it can be.
 */
export async function withTimeout<Value>(work: Promise<Value>, options: TimeoutOptions): Promise<Value> {
  const { milliseconds, onTimeout, signal, onAbort } = options;
  const { promise: over, reject } = Promise.withResolvers<never>();
  const abort = (): void => reject(onAbort?.() ?? signal?.reason);
  const timer = setTimeout(() => reject(onTimeout()), milliseconds);
  signal?.addEventListener('abort', abort, { once: true });
  if (signal?.aborted) abort();
  try {
    return await Promise.race([work, over]);
  } finally {
    clearTimeout(timer);
    signal?.removeEventListener('abort', abort);
  }
}
