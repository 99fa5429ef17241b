/** Events pushed by whoever has them, read in order by one reader; ends when told to. */

export interface EventQueue<Event> extends AsyncIterable<Event> {
  push(event: Event): void;
  end(): void;
}

export function createEventQueue<Event>(): EventQueue<Event> {
  const waiting: Event[] = [];
  let ended = false;
  let wake: (() => void) | null = null;
  const stir = (): void => {
    wake?.();
    wake = null;
  };
  return {
    push: (event) => {
      waiting.push(event);
      stir();
    },
    end: () => {
      ended = true;
      stir();
    },
    async *[Symbol.asyncIterator]() {
      for (;;) {
        yield* waiting.splice(0);
        if (ended && waiting.length === 0) return;
        if (waiting.length === 0) {
          await new Promise<void>((resolve) => {
            wake = resolve;
          });
        }
      }
    },
  };
}
