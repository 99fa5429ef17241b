/** Promise P16, the short form; `npm run fuzz` asks 100,000. */
import { expect, test } from 'vitest';
import { fuzz } from './fuzz.ts';

test('P16: no text of a request becomes SQL: known statements only, the canary untouched, no 5xx, no SQL in errors', async () => {
  const report = await fuzz(1500, 7);
  expect(report.faults).toEqual([]);
  expect(report.statuses[200]).toBeGreaterThan(100);
  expect(report.statuses[400]).toBeGreaterThan(100);
  expect(report.statements).toBeGreaterThan(1500);
}, 600_000);
