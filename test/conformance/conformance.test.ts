/** Promise P22: every recorded answer of both CKAN versions, replayed against the running service. */
import path from 'node:path';
import { expect, test } from 'vitest';
import { readCorpus } from './corpus.ts';
import { repairs } from './repairs.ts';
import { count, differences, replay, tabulate } from './run.ts';

const fixtures = path.join(import.meta.dirname, '../fixtures/conformance');

test.each([
  { version: '2.11.6', least: 1400 },
  { version: '2.12.0', least: 1435 },
])(
  'P22: the answers of CKAN $version, byte for byte, repairs well-formed',
  async ({ version, least }) => {
    const judged = await replay(path.join(fixtures, version), process.env['TEST_POSTGRES_URL'] ?? '');
    console.log(`${version}\n${tabulate(judged)}`);
    expect(differences(judged)).toEqual([]);
    expect(count(judged, 'same')).toBeGreaterThanOrEqual(least);
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
  expect([...new Set(reasons)].sort()).toEqual(Object.keys(repairs).sort());
});
