/**
 * A bounded number of things at once. Who finds no free place waits in line, for a bounded time: past it the answer is
 * null, so that nobody waits behind slow holders without end (promise P13, slow clients exhaust nothing).
 */

export interface Semaphore {
  readonly size: number;
  busy(): number;
  /** A function that gives the slot back, or null when none came free within the patience. */
  acquire(): Promise<(() => void) | null>;
}

export function createSemaphore(
  size: number,
  options: { readonly patienceMilliseconds?: number; readonly onChange?: (busy: number) => void } = {},
): Semaphore {
  const patience = options.patienceMilliseconds ?? 400;
  const waiting: ((release: () => void) => void)[] = [];
  let busy = 0;

  const occupy = (): (() => void) => {
    busy += 1;
    options.onChange?.(busy);
    let given = false;
    return () => {
      if (given) return;
      given = true;
      busy -= 1;
      options.onChange?.(busy);
      waiting.shift()?.(occupy());
    };
  };

  return {
    size,
    busy: () => busy,
    acquire: () => {
      if (busy < size) return Promise.resolve(occupy());
      // More than a few in line would only be refused later.
      if (waiting.length >= size * 4) return Promise.resolve(null);
      return new Promise((resolve) => {
        const served = (release: () => void): void => {
          clearTimeout(timer);
          resolve(release);
        };
        const timer = setTimeout(() => {
          waiting.splice(waiting.indexOf(served), 1);
          resolve(null);
        }, patience);
        waiting.push(served);
      });
    },
  };
}
