/**
 * Once a run of the integration tests: the pinned Node, the S3 server's binary, and one Postgres for all suites
 * (`TEST_POSTGRES_URL`, the one that `npm run db` keeps, or an embedded one), cleared of this run's databases at the end.
 */
import { randomBytes } from 'node:crypto';
import { keptPostgres } from './kept-postgres.ts';
import { dropDatabasesOfRun } from './postgres.ts';
import { startPostgres } from './postgres-server.ts';
import { buildS3 } from './s3.ts';

export default async function setup(): Promise<() => Promise<void>> {
  const major = Number(process.versions.node.split('.')[0]);
  if (major < 24) {
    throw new Error(
      `the tests need Node 24, this is ${process.version}: run them by npm, which has it pinned`,
    );
  }
  // here and not in a suite's set-up, which has seconds, not minutes
  await buildS3();
  process.env['TEST_RUN_ID'] = randomBytes(4).toString('hex');
  const given = process.env['TEST_POSTGRES_URL'] ?? (await keptPostgres());
  if (given) {
    process.env['TEST_POSTGRES_URL'] = given;
    return () => dropDatabasesOfRun(given);
  }
  const server = await startPostgres();
  process.env['TEST_POSTGRES_URL'] = server.adminUrl;
  return async () => {
    delete process.env['TEST_POSTGRES_URL'];
    await server.stop();
  };
}
