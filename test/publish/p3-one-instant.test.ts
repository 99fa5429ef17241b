/** P3: every format of a revision is parsed while writers move amounts, reload, rebuild and reshape the table. */
import { expect, test, vi } from 'vitest';
import { oneInstant } from '../crash/instants.ts';
import { recordCount } from '../world/counts.ts';

// two hundred publications, each parsed in every format
vi.setConfig({ testTimeout: 300_000 });

test('P3 all formats show one instant: same ids, same sum, whatever happens meanwhile', async () => {
  const { rounds, changes } = await oneInstant(200, 3);
  expect(rounds).toBe(200);
  expect(changes).toBeGreaterThan(100);
  recordCount('P3', 'publications parsed in every format', rounds);
  recordCount('P3', 'transactions meanwhile', changes);
});
