/** P4: over HTTP, no answer that begins after a commit shows older data, from blob or live; the short form. */
import { expect, test, vi } from 'vitest';
import { recordCount } from '../world/counts.ts';
import { linearizability } from './linearizability.ts';

// hundreds of answers read while four writers commit
vi.setConfig({ testTimeout: 300_000 });

test('P4 four writers, five readers, bad messengers: no answer older than a commit before it', async () => {
  const { reads, commits } = await linearizability({ reads: 1500, seed: 4 });
  expect(reads.violations).toEqual([]);
  expect(reads.blob).toBeGreaterThan(100);
  expect(reads.live).toBeGreaterThan(100);
  console.log(`P4: ${reads.blob} from blobs, ${reads.live} live, ${reads.busy} busy, ${commits} commits`);
  recordCount('P4', 'answers checked against commits, over HTTP', reads.blob + reads.live);
  recordCount('P4', 'commits of four concurrent writers, over HTTP', commits);
});
