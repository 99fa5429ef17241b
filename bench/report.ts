/** What was measured, as lines of a table: the figure, its spread, what it is to be, and what it cost. */
import type { Figure, Spread } from './measure.ts';

export interface Line {
  readonly what: string;
  readonly value: string;
  /** The bar and the aim, where there is one. */
  readonly goal: string;
  readonly details: string;
  /** For the JSON. */
  readonly figures?: readonly Figure[];
}

export function markdown(machine: string, lines: readonly Line[]): string {
  const rows = lines.map(({ what, value, goal, details }) => `| ${what} | ${value} | ${goal} | ${details} |`);
  return [machine, '', '| figure | measured | at most | details |', '|---|---|---|---|', ...rows].join('\n');
}

/** `1.23 (1.10–1.40)`: the median, then the least and the most. */
export function ratioText({ median, least, most }: Spread): string {
  return `${median.toFixed(2)} (${least.toFixed(2)}–${most.toFixed(2)})`;
}

/** Wall time, rate, processor time by program and peak memory of a side. */
export function costs(figure: Figure): string {
  const last = figure.samples.at(-1);
  const rate = (last?.bytes ?? 0) / 1e6 / figure.wall.median;
  const others = Object.entries(last?.othersCpuSeconds ?? {}).map(
    ([program, seconds]) => `${program} ${seconds.toFixed(1)} s`,
  );
  const memory = `${Math.round(figure.peakRssBytes / 2 ** 20)} MiB`;
  const cpu = [`side ${figure.cpu.median.toFixed(1)} s`, ...others].join(', ');
  return `${figure.wall.median.toFixed(2)} s, ${rate.toFixed(0)} MB/s; CPU ${cpu}; peak ${memory}; load ${figure.loadAtEnd.toFixed(1)}`;
}
