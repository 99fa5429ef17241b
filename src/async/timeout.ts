/** A deadline around a promise: we stop waiting for one that does not settle in time, and no timer outlives the wait. */

interface TimeoutOptions {
  readonly milliseconds: number;
  /** What the caller gets when the time is over. */
  readonly onTimeout: () => Error;
  /** Ends the wait early; rejects with what `onAbort` makes, else with the signal's reason. */
  readonly signal?: AbortSignal | undefined;
  readonly onAbort?: () => Error;
}

/**
 * Settles as `work` does; rejects when the time is over or the signal aborts first. This does not stop the work itself:
 * give it a signal if it can take one.
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
