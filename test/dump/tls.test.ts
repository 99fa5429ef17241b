/** P23 Postgres over TLS: a COPY is read from the decrypted socket, whole, at the reader's pace, and the connection goes on. */
import { chownSync, copyFileSync, chmodSync, statSync } from 'node:fs';
import path from 'node:path';
import { setImmediate as nextTurn } from 'node:timers/promises';
import { Client, type Pool } from 'pg';
import { afterAll, beforeAll, expect, test } from 'vitest';
import { ckanProfile } from '../../src/ckan/profile.ts';
import { copyOut } from '../../src/dump/copy.ts';
import { createFormatter } from '../../src/dump/format/formatter.ts';
import { createPool } from '../../src/postgres/pool.ts';
import { sql } from '../../src/postgres/table.ts';
import { eventually } from '../world/eventually.ts';
import { startPostgres, type PostgresServer } from '../world/postgres-server.ts';

const rowsAsked = 40_000;
const certificates = path.join(import.meta.dirname, '../fixtures/tls');

let server: PostgresServer;
let pool: Pool;

beforeAll(async () => {
  server = await startPostgres();
  await encrypt(server.adminUrl);
  pool = createPool({
    url: `${server.adminUrl}?sslmode=verify-full&sslrootcert=${certificates}/server.crt`,
    applicationName: 'tls-test',
    size: 1,
    onIdleError: () => undefined,
  });
  await eventually('Postgres takes TLS', async () => (await pool.query('SELECT 1')).rowCount === 1, {
    seconds: 20,
  });
});

afterAll(async () => {
  await pool.end();
  await server.stop();
});

/** Give a running server a certificate, in its own directory and its own name. */
async function encrypt(adminUrl: string): Promise<void> {
  const admin = new Client({ connectionString: adminUrl });
  await admin.connect();
  const { rows } = await admin.query<{ data_directory: string }>('SHOW data_directory');
  const directory = rows[0]?.data_directory ?? '';
  const { uid, gid } = statSync(directory);
  for (const file of ['server.crt', 'server.key']) {
    copyFileSync(path.join(certificates, file), path.join(directory, file));
    chmodSync(path.join(directory, file), 0o600);
    chownSync(path.join(directory, file), uid, gid);
  }
  await admin.query('ALTER SYSTEM SET ssl = on');
  await admin.query('SELECT pg_reload_conf()');
  await admin.end();
}

test('P23 a COPY over TLS is whole although its reader pauses, and the connection answers on', async () => {
  const client = await pool.connect();
  const encrypted = 'SELECT ssl FROM pg_stat_ssl WHERE pid = pg_backend_pid()';
  const before = await client.query<{ ssl: boolean }>(encrypted);
  expect(before.rows).toEqual([{ ssl: true }]);
  const columns = ['n', 'cell'].map((name) => ({ name, type: 'text', field: { id: name, type: 'text' } }));
  const formatter = createFormatter({ columns, formats: ['csv'], profile: ckanProfile('2.12') });
  const written: string[] = [];
  let pauses = 0;
  const statement = sql`COPY (SELECT n, repeat('x', 200) FROM generate_series(1, ${rowsAsked}) n) TO STDOUT (FORMAT csv)`;
  const { rows } = await copyOut(client, statement, {
    onBytes: (chunk) =>
      formatter.feed(chunk, (_, bytes) => void written.push(Buffer.from(bytes).toString('latin1'))),
    whenReady: () => {
      pauses += 1;
      return nextTurn();
    },
    signal: new AbortController().signal,
    stallSeconds: 20,
  });
  const lines = written.join('').trimEnd().split(/\r?\n/);
  expect(rows).toBe(rowsAsked);
  expect(lines).toEqual(Array.from({ length: rowsAsked }, (_, row) => `${row + 1},${'x'.repeat(200)}`));
  expect(pauses).toBeGreaterThan(10);
  expect((await client.query<{ ssl: boolean }>(encrypted)).rows).toEqual([{ ssl: true }]);
  client.release();
});
