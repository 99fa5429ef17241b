/** How long CKAN's last answers took: what is usual decides when it is asked again, and how long it is waited for. */

const samplesKept = 8;

interface Latency {
  record(milliseconds: number): void;
  /** Null before the first answer. */
  median(): number | null;
  /** 0 before the first answer. */
  longest(): number;
}

export function createLatency(): Latency {
  const samples: number[] = [];
  return {
    record: (milliseconds) => {
      samples.push(milliseconds);
      if (samples.length > samplesKept) samples.shift();
    },
    median: () => samples.toSorted((one, other) => one - other)[samples.length >> 1] ?? null,
    longest: () => Math.max(0, ...samples),
  };
}
