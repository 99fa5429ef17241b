/**
 * A line in front of a bounded number of places: who finds none free waits for a bounded time, and the members of the line
 * take turns, so that one who asks much waits behind those who ask little (P13, slow clients exhaust nothing).
 */

interface FairLineOptions {
  readonly places: number;
  /** How many places one member may hold. */
  readonly placesEach: number;
  /** How many of one member's may wait; one more is turned away at once. */
  readonly waitingEach: number;
  /** How many members may wait. */
  readonly membersWaiting: number;
  readonly waitMilliseconds: number;
}

export interface FairLine {
  /** What gives the place back; null where the line is full or the wait was too long. */
  enter(member: string): Promise<(() => void) | null>;
}

type Waiter = (leave: () => void) => void;

export function createFairLine(options: FairLineOptions): FairLine {
  /** Who came, or was served, longest ago stands first. */
  const waiting = new Map<string, Waiter[]>();
  const held = new Map<string, number>();
  let busy = 0;

  const mayHold = (member: string): boolean =>
    busy < options.places && (held.get(member) ?? 0) < options.placesEach;

  const hold = (member: string): (() => void) => {
    busy += 1;
    held.set(member, (held.get(member) ?? 0) + 1);
    return () => {
      busy -= 1;
      const left = (held.get(member) ?? 1) - 1;
      if (left === 0) held.delete(member);
      else held.set(member, left);
      admitNext();
    };
  };

  const admitNext = (): void => {
    for (const [member, waiters] of waiting) {
      if (!mayHold(member)) continue;
      const first = waiters.shift();
      waiting.delete(member);
      if (waiters.length > 0) waiting.set(member, waiters);
      first?.(hold(member));
      return;
    }
  };

  return {
    enter: (member) => {
      if (mayHold(member)) return Promise.resolve(hold(member));
      const waiters = waiting.get(member) ?? [];
      const isFull = waiters.length === 0 && waiting.size >= options.membersWaiting;
      if (isFull || waiters.length >= options.waitingEach) return Promise.resolve(null);
      waiting.set(member, waiters);
      return new Promise((resolve) => {
        const admitted: Waiter = (leave) => {
          clearTimeout(timer);
          resolve(leave);
        };
        const timer = setTimeout(() => {
          waiters.splice(waiters.indexOf(admitted), 1);
          if (waiters.length === 0) waiting.delete(member);
          resolve(null);
        }, options.waitMilliseconds);
        waiters.push(admitted);
      });
    },
  };
}
