/**
 * A bounded number of things at once. A caller that finds no free slot waits in line for a bounded time; after that it
 * gets null, so that nobody waits for ever behind slow callers (promise P13, slow clients exhaust nothing).
 */

export interface Semaphore {
  busy(): number;
  /** A function that releases the slot, or null when no slot became free within the timeout. */
  acquire(): Promise<(() => void) | null>;
}

export function createSemaphore(
  size: number,
  options: { readonly timeoutMilliseconds?: number; readonly onChange?: (busy: number) => void } = {},
): Semaphore {
  const timeout = options.timeoutMilliseconds ?? 400;
  const waiting: ((release: () => void) => void)[] = [];
  let busy = 0;

  const occupy = (): (() => void) => {
    busy += 1;
    options.onChange?.(busy);
    let released = false;
    return () => {
      if (released) return;
      released = true;
      busy -= 1;
      options.onChange?.(busy);
      waiting.shift()?.(occupy());
    };
  };

  return {
    busy: () => busy,
    acquire: () => {
      if (busy < size) return Promise.resolve(occupy());
      // With more than a few in line, the last would only wait to be refused.
      if (waiting.length >= size * 4) return Promise.resolve(null);
      return new Promise((resolve) => {
        const served = (release: () => void): void => {
          clearTimeout(timer);
          resolve(release);
        };
        const timer = setTimeout(() => {
          waiting.splice(waiting.indexOf(served), 1);
          resolve(null);
        }, timeout);
        waiting.push(served);
      });
    },
  };
}
