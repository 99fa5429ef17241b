/** P1: a truncated or corrupt blob is never published, whichever link breaks, wherever; the short form. */
import { expect, test, vi } from 'vitest';
import { recordCount } from '../world/counts.ts';
import { startS3 } from '../world/s3.ts';
import { cutFormats, cutPostgres, faultS3, lastRowErrors } from './cuts.ts';
import { seeded } from './random.ts';

// tens of publications, each cut off
vi.setConfig({ testTimeout: 300_000 });

const s3 = await startS3();

test.each(cutFormats)('P1 the Postgres link cut at random bytes while %s is published', async (format) => {
  const cuts = await cutPostgres(format, 15, seeded(format.length * 31));
  expect(cuts.met).toBeGreaterThanOrEqual(15);
  expect(cuts.failed).toBeGreaterThan(5);
  recordCount('P1', `cuts of the Postgres link, ${format}`, cuts.met);
});

test('P1 an SQL error in the last row', async () => {
  const errors = await lastRowErrors(5);
  expect(errors.failed).toBe(5);
  recordCount('P1', 'SQL errors in the last row', errors.failed);
});

test('P1 parts refused, changed on their way, answers lost, completions failed', async (context) => {
  if ('skipped' in s3) return context.skip(s3.skipped);
  try {
    const faults = await faultS3(s3, 8, seeded(11));
    expect(faults.met).toBeGreaterThanOrEqual(8);
    expect(faults.failed).toBeGreaterThan(1);
    recordCount('P1', 'faults of the S3 link', faults.met);
  } finally {
    await s3.stop();
  }
});
