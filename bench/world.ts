/** What a whole benchmark shares: one Postgres with a fresh DataStore, one S3 server where it can be had. */
import { execFileSync } from 'node:child_process';
import { cpus } from 'node:os';
import { Client } from 'pg';
import { freshDatabase, type Database } from '../test/world/postgres.ts';
import { startPostgres } from '../test/world/postgres-server.ts';
import { startS3, type S3Server } from '../test/world/s3.ts';

export interface Bench {
  readonly database: Database;
  /** Connected as the owner of the tables. */
  readonly owner: Client;
  /** Null where there is none; then its sides are left out. */
  readonly s3: S3Server | null;
  /** A database of its own on the same server. */
  another(): Promise<Database>;
  /** Keep this process, Postgres and its new connections off processor 0, or let them run on all again. */
  keepOffFirstCore(off: boolean): void;
  stop(): Promise<void>;
}

export async function openBench(): Promise<Bench> {
  const server = await startPostgres({ settings: { max_wal_size: '4GB' } });
  const database = await freshDatabase({ server: server.adminUrl });
  const owner = new Client({ connectionString: database.writeUrl });
  await owner.connect();
  const s3 = await startS3();
  if ('skipped' in s3) console.error(`no S3 server: ${s3.skipped}`);
  return {
    database,
    owner,
    s3: 'skipped' in s3 ? null : s3,
    another: () => freshDatabase({ server: server.adminUrl }),
    keepOffFirstCore: (off) => {
      const cores = `${off && cpus().length > 1 ? 1 : 0}-${cpus().length - 1}`;
      for (const pid of [process.pid, server.pid()])
        execFileSync('taskset', ['-a', '-c', '-p', cores, `${pid}`]);
    },
    stop: async () => {
      await owner.end();
      if (!('skipped' in s3)) await s3.stop();
      await server.stop();
    },
  };
}
