/** Promise P22: every recorded answer of both CKAN versions, replayed against the running service. */
import path from 'node:path';
import { expect, test } from 'vitest';
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
