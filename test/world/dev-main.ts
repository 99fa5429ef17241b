/**
 * `npm run dev`: the service on settings of its own, started again whenever a file of `src` changes. Its DataStore is a
 * copy of a real CKAN's, on the Postgres that `npm run db` keeps or on one that ends with it. Every setting that is given
 * in the environment wins.
 */
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { pathToFileURL } from 'node:url';
import { installTriggers } from '../../src/change/journal.ts';
import { keptPostgres } from './kept-postgres.ts';
import { startPostgres } from './postgres-server.ts';
import { asAdmin, freshDatabase, type Database } from './postgres.ts';

const root = path.resolve(import.meta.dirname, '../..');

const settingsOf = (database: Database, blobs: string): Record<string, string> => ({
  CKAN_DATASTORE_READ_URL: database.readUrl,
  CKAN_DATASTORE_WRITE_URL: database.writeUrl,
  DUMPER_STATE_URL: database.stateUrl,
  DUMPER_BLOB_STORE: pathToFileURL(blobs).href,
  DUMPER_AUTHORIZE: 'off',
  DUMPER_CKAN_VERSION: '2.12',
  DUMPER_QUIET_SECONDS: '1',
  DUMPER_DRAIN_SECONDS: '1',
  DUMPER_HOST: '127.0.0.1',
});

/** The service under Node's own watch, in a session of its own, so that Ctrl-C is ours to pass on. */
async function runService(settings: Record<string, string>): Promise<void> {
  const flags = ['--watch-path=src', '--watch-preserve-output', '--disable-warning=ExperimentalWarning'];
  const service = spawn(process.execPath, [...flags, 'src/main.ts', 'serve'], {
    cwd: root,
    env: { ...settings, ...process.env },
    stdio: 'inherit',
    detached: true,
  });
  const end = (): void => void service.kill('SIGTERM');
  process.once('SIGINT', end).once('SIGTERM', end);
  await once(service, 'exit');
}

const kept = await keptPostgres();
const own = kept === null ? await startPostgres() : null;
const blobs = await mkdtemp(path.join(tmpdir(), 'dumper-dev-'));
const database = await freshDatabase({ corpus: '2.12.0', server: kept ?? own?.adminUrl ?? '' });
try {
  await asAdmin(database.writeUrl, (owner) =>
    installTriggers(owner, { readRole: 'datastore_default', lockSeconds: 5 }),
  );
  console.log(`tables: psql ${database.writeUrl}\nblobs: ${blobs}`);
  await runService(settingsOf(database, blobs));
} finally {
  await database.drop();
  await rm(blobs, { recursive: true, force: true });
  await own?.stop();
}
