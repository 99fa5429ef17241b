/** The Postgres that `npm run db` keeps for the day: where its address stands, and whether it is there. */
import { mkdir, readFile, rm, writeFile } from 'node:fs/promises';
import path from 'node:path';
import { Client } from 'pg';

const folder = path.resolve(import.meta.dirname, '../../.cache');
const file = path.join(folder, 'postgres-url');

/** Superuser's URL of the kept Postgres; null when none answers. */
export async function keptPostgres(): Promise<string | null> {
  const url = await readFile(file, 'utf8').catch(() => null);
  if (url === null) return null;
  const client = new Client({ connectionString: url.trim(), connectionTimeoutMillis: 5000 });
  client.on('error', () => undefined);
  try {
    await client.connect();
    return url.trim();
  } catch {
    return null;
  } finally {
    await client.end().catch(() => undefined);
  }
}

export async function announceKeptPostgres(url: string): Promise<void> {
  await mkdir(folder, { recursive: true });
  await writeFile(file, `${url}\n`, { mode: 0o600 });
}

export async function withdrawKeptPostgres(): Promise<void> {
  await rm(file, { force: true });
}
