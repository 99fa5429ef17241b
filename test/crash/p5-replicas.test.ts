/** P5: three replicas on one store, killed and stopped; the short form. */
import { expect, test } from 'vitest';
import { recordCount } from '../world/counts.ts';
import { threeReplicas } from './replicas.ts';

test('P5 three replicas: generations only grow, no revision comes back, a lost worker is replaced', async () => {
  const seen = await threeReplicas({ kills: 2, stops: 1, stopSeconds: 17, seed: 5 });
  console.log(
    `P5: ${seen.switches} switches, ${seen.looks} looks, ${seen.reads.blob + seen.reads.live} reads`,
  );
  expect(seen.faults).toEqual([]);
  expect(seen.reads.violations).toEqual([]);
  expect(seen.switches).toBeGreaterThan(10);
  recordCount('P5', 'switches by three replicas, each above the one before', seen.switches);
  recordCount('P5', 'replicas killed or stopped', seen.kills + seen.stops);
}, 600_000);
