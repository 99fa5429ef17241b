/**
 * How fast a client takes its answer, counted only while the answer waits for the client: a slow Postgres never makes a
 * reader look slow (P13, slow clients exhaust nothing).
 */

/** What a client has done so far. */
export interface ReaderProgress {
  /** How long the answer has waited for it, in all. */
  readonly waitedMilliseconds: number;
  /** What it took, as it went out. */
  readonly takenBytes: number;
}

interface ReaderPace {
  /** To be called about once a second. */
  sample(): void;
  /** Bytes a second over the last so many seconds of waiting for it; null: it was not waited for as long as that. */
  rate(seconds: number): number | null;
}

export function createReaderPace(progress: () => ReaderProgress, longestSeconds: number): ReaderPace {
  let samples: ReaderProgress[] = [progress()];
  const lastBefore = (now: ReaderProgress, seconds: number): ReaderProgress | undefined =>
    samples.findLast(
      ({ waitedMilliseconds }) => now.waitedMilliseconds - waitedMilliseconds >= seconds * 1000,
    );
  return {
    sample: () => {
      const now = progress();
      if (now.waitedMilliseconds === samples.at(-1)?.waitedMilliseconds) samples.pop();
      const oldest = lastBefore(now, longestSeconds);
      if (oldest !== undefined) samples = samples.slice(samples.indexOf(oldest));
      samples.push(now);
    },
    rate: (seconds) => {
      const now = progress();
      const then = lastBefore(now, seconds);
      if (then === undefined) return null;
      return ((now.takenBytes - then.takenBytes) * 1000) / (now.waitedMilliseconds - then.waitedMilliseconds);
    },
  };
}
