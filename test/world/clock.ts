/** A clock that moves only when a test says so, for everything that takes `now` as an argument. */

export interface Clock {
  readonly now: () => Date;
  advance(seconds: number): void;
}

export function createClock(start: Date = new Date('2026-11-21T12:00:00Z')): Clock {
  let time = start.getTime();
  return {
    now: () => new Date(time),
    advance: (seconds) => {
      time += seconds * 1000;
    },
  };
}
