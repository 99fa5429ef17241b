/** `npm run conformance -- <folder…>`: replay corpora of recorded CKAN answers; exit 1 when any answer differs. */
import path from 'node:path';
import { startPostgres } from '../world/postgres.ts';
import { differences, replay, tabulate } from './run.ts';

const folders = process.argv.slice(2);
if (folders.length === 0) {
  console.error('usage: npm run conformance -- <corpus folder>…');
  process.exit(64);
}
const server = process.env['TEST_POSTGRES_URL'] ? null : await startPostgres();
try {
  for (const folder of folders) {
    const judged = await replay(
      path.resolve(folder),
      server?.adminUrl ?? process.env['TEST_POSTGRES_URL'] ?? '',
    );
    console.log(`${folder}\n${tabulate(judged)}\n`);
    for (const line of differences(judged)) console.log(`different: ${line}`);
    if (differences(judged).length > 0) process.exitCode = 1;
  }
} finally {
  await server?.stop();
}
