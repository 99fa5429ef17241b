/** The parts that vitest's set-up gives the short forms, for the long forms, which run alone. */
import { startPostgres } from './postgres.ts';
import { startS3, type S3Server } from './s3.ts';

/** Run `work` beside a Postgres and an S3 server of its own; null where there is no S3 server to be had. */
export async function withServers(work: (s3: S3Server | null) => Promise<void>): Promise<void> {
  const postgres = process.env['TEST_POSTGRES_URL'] === undefined ? await startPostgres() : null;
  if (postgres !== null) process.env['TEST_POSTGRES_URL'] = postgres.adminUrl;
  const s3 = await startS3();
  if ('skipped' in s3) console.log(s3.skipped);
  try {
    await work('skipped' in s3 ? null : s3);
  } finally {
    if (!('skipped' in s3)) await s3.stop();
    await postgres?.stop();
  }
}
