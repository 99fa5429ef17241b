/** Promise P22: every recorded answer of both CKAN versions, replayed against the running service. */
import path from 'node:path';
import { expect, test, vi } from 'vitest';
import { readCorpus } from './corpus.ts';
import { recordCount } from '../world/counts.ts';
import { deviations } from './deviations.ts';
import { count, differences, replay, tabulate } from './run.ts';

// a whole corpus is loaded, published and asked for
vi.setConfig({ testTimeout: 600_000, hookTimeout: 600_000 });

const fixtures = path.join(import.meta.dirname, '../fixtures/conformance');

test.each([
  { version: '2.11.6', live: 1404, blob: 390 },
  { version: '2.12.0', live: 1440, blob: 415 },
])(
  'P22: the answers of CKAN $version, byte for byte, live and as blobs; deviations cell by cell',
  async ({ version, ...least }) => {
    const judged = await replay(path.join(fixtures, version), process.env['TEST_POSTGRES_URL'] ?? '');
    console.log(`${version}\n${tabulate(judged)}`);
    expect(differences(judged)).toEqual([]);
    for (const source of ['live', 'blob'] as const) {
      const same = count(
        judged.filter((one) => one.source === source),
        'same',
      );
      expect(same).toBeGreaterThanOrEqual(least[source]);
      recordCount('P22', `answers of CKAN ${version} with the same bytes, ${source}`, same);
    }
    recordCount('P22', `answers of CKAN ${version} repaired`, count(judged, 'repaired'));
  },
  300_000,
);

test('P22: every reason for a repair in the corpora is listed, and none that does not occur', async () => {
  const corpora = await Promise.all(
    ['2.11.6', '2.12.0'].map((version) => readCorpus(path.join(fixtures, version))),
  );
  const reasons = corpora.flatMap(({ cases }) =>
    cases.flatMap(({ expect: expected, why }) => (expected === 'repair' ? [why] : [])),
  );
  expect([...new Set(reasons)].sort()).toEqual(Object.keys(deviations).sort());
});
