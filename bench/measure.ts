/** Run sides in turn, each in its own process, and tell medians, spread and ratios. */
import { execFile } from 'node:child_process';
import { loadavg } from 'node:os';
import path from 'node:path';
import { promisify } from 'node:util';
import { cpuByProgram, cpuSpent } from './cpu.ts';

const run = promisify(execFile);

export interface Sample {
  readonly wallSeconds: number;
  readonly cpuSeconds: number;
  readonly peakRssBytes: number;
  readonly bytes: number;
  readonly firstByteSeconds?: number;
  /** Of the servers beside it, by program. */
  readonly othersCpuSeconds: Readonly<Record<string, number>>;
}

export interface Figure {
  readonly side: string;
  readonly samples: readonly Sample[];
  readonly wall: Spread;
  readonly cpu: Spread;
  readonly peakRssBytes: number;
  readonly loadAtEnd: number;
}

export interface Spread {
  readonly median: number;
  readonly least: number;
  readonly most: number;
}

export function spread(values: readonly number[]): Spread {
  const sorted = [...values].sort((a, b) => a - b);
  const at = (index: number): number => sorted[Math.min(Math.max(index, 0), sorted.length - 1)] ?? Number.NaN;
  const middle = (sorted.length - 1) / 2;
  return {
    median: (at(Math.floor(middle)) + at(Math.ceil(middle))) / 2,
    least: at(0),
    most: at(sorted.length - 1),
  };
}

export interface Turn {
  readonly name: string;
  readonly input: unknown;
  /** Only in the first round, and without a warm-up. */
  readonly slow?: boolean;
}

/** A warm-up of each side, then `runs` rounds in which every side runs once: A B C, A B C … */
export async function alternate(
  sides: readonly Turn[],
  runs: number,
  environment: Readonly<Record<string, string>>,
  onSample: (side: string, sample: Sample) => void,
): Promise<Figure[]> {
  const samples = new Map<string, Sample[]>(sides.map(({ name }) => [name, []]));
  for (let round = 0; round <= runs; round += 1) {
    for (const { name, input, slow = false } of sides) {
      if (slow && round !== 1) continue;
      const sample = await once(name, input, environment);
      if (round === 0) continue;
      samples.get(name)?.push(sample);
      onSample(name, sample);
    }
  }
  return sides.map(({ name }) => figure(name, samples.get(name) ?? []));
}

/** One side, in a process of its own. */
export async function once(
  side: string,
  input: unknown,
  environment: Readonly<Record<string, string>>,
): Promise<Sample> {
  const script = path.join(import.meta.dirname, 'side.ts');
  const before = cpuByProgram();
  const { stdout } = await run(process.execPath, [script, side, JSON.stringify(input)], {
    maxBuffer: 1 << 24,
    env: { PATH: process.env['PATH'], ...environment },
  });
  const sample = JSON.parse(stdout.trim().split('\n').at(-1) ?? '') as Sample;
  return { ...sample, othersCpuSeconds: cpuSpent(before, cpuByProgram()) };
}

function figure(side: string, samples: readonly Sample[]): Figure {
  return {
    side,
    samples,
    wall: spread(samples.map((sample) => sample.wallSeconds)),
    cpu: spread(samples.map((sample) => sample.cpuSeconds)),
    peakRssBytes: Math.max(...samples.map((sample) => sample.peakRssBytes)),
    loadAtEnd: loadavg()[0] ?? 0,
  };
}

/** Ratios round by round, so that a drift of the machine's speed falls out. */
export function ratio(of: Figure, to: Figure): Spread {
  return spread(
    of.samples.map((sample, index) => sample.wallSeconds / (to.samples[index]?.wallSeconds ?? Number.NaN)),
  );
}
