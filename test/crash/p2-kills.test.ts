/** P2, P7: killed at every named step and at random instants, the previous dump serves on; the short form. */
import { expect, test } from 'vitest';
import { recordCount } from '../world/counts.ts';
import { killPublishers } from './kills.ts';

test('P2 P7 a publisher killed at each step and at random: no gap, no mix, no orphaned blobs', async () => {
  const killed = await killPublishers({ randomKills: 4, killsAtEachStep: 1, seed: 2 });
  const { reads } = killed;
  console.log(
    `P2: ${killed.atSteps} kills at steps, ${killed.atRandom} at random; ${reads.blob} from blobs, ${reads.live} live, ${reads.busy} busy; ${killed.commits} commits`,
  );
  expect(reads.violations).toEqual([]);
  expect(reads.busy).toBe(0);
  expect(reads.blob).toBeGreaterThan(10);
  expect(killed.orphans).toEqual([]);
  recordCount('P2', 'kills at named steps', killed.atSteps);
  recordCount('P2', 'kills at random times', killed.atRandom);
  recordCount('P2', 'downloads meanwhile, each of one whole revision', reads.blob + reads.live);
  recordCount('P7', 'tables swept clean after the kills', killed.audited);
}, 600_000);
