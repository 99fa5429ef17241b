/**
 * What the suite counted (cuts survived, kill points, fuzzed requests, parity cases): each test that proves a promise
 * records its number, and the README's table is made from the records, not typed.
 */
import { mkdirSync, readFileSync, readdirSync, writeFileSync } from 'node:fs';
import path from 'node:path';

const folder = path.resolve(import.meta.dirname, '../../.cache/counts');

export interface Count {
  /** `P1` … `P23`. */
  readonly promise: string;
  /** What was counted: `cuts of the Postgres link`. */
  readonly what: string;
  readonly count: number;
}

/** Record a number of this run; a later record of the same thing replaces it. */
export function recordCount(promise: string, what: string, count: number): void {
  mkdirSync(folder, { recursive: true });
  const name = `${promise} ${what}`.replaceAll(/[^\w-]+/g, '-');
  writeFileSync(path.join(folder, `${name}.json`), JSON.stringify({ promise, what, count } satisfies Count));
}

/** Everything recorded, by promise. */
export function recordedCounts(): Count[] {
  return recordFiles()
    .map((name) => JSON.parse(readFileSync(path.join(folder, name), 'utf8')) as Count)
    .sort(
      (left, right) =>
        Number(left.promise.slice(1)) - Number(right.promise.slice(1)) || left.what.localeCompare(right.what),
    );
}

function recordFiles(): string[] {
  try {
    return readdirSync(folder);
  } catch {
    return [];
  }
}
