/** P20, P21: a link to Postgres that falls silent keeps neither a publication's slot nor the process from its end. */
import { afterAll, beforeAll, expect, test } from 'vitest';
import type { Socket } from 'node:net';
import type pg from 'pg';
import { withSnapshot, type Snapshot } from '../../src/dump/snapshot.ts';
import { createPool } from '../../src/postgres/pool.ts';
import { asResourceId } from '../../src/postgres/table.ts';
import { startFaultProxy, type FaultProxy } from '../world/fault-proxy.ts';
import { eventually } from '../world/eventually.ts';
import { asAdmin, freshDatabase, type Database } from '../world/postgres.ts';

let database: Database;
let proxy: FaultProxy;
beforeAll(async () => {
  database = await freshDatabase();
  const { hostname, port } = new URL(database.readUrl);
  proxy = await startFaultProxy({ host: hostname, port: Number(port) });
});
afterAll(async () => {
  await proxy.stop();
  await database.drop();
});

/** A pool with a connection that answered once and never will again. */
async function silentPool(queryTimeoutSeconds?: number): Promise<pg.Pool> {
  proxy.pass();
  const pool = createPool({
    url: proxy.through(database.readUrl),
    applicationName: 'dumper-test-silent',
    size: 1,
    onIdleError: () => undefined,
    ...(queryTimeoutSeconds === undefined ? {} : { queryTimeoutSeconds }),
  });
  await pool.query('SELECT');
  proxy.set({ blackhole: true });
  return pool;
}

const nobody = asResourceId('nobody');
const work = async (): Promise<never> => expect.fail('there is no such table');

test.each([
  ['a deadline', 'POSTGRES_UNAVAILABLE', (): AbortSignal => new AbortController().signal],
  ['the end of the process', 'ABORTED', (): AbortSignal => AbortSignal.timeout(300)],
])('a snapshot ends by %s', async (_what, code, signalOf) => {
  const pool = await silentPool();
  const stallSeconds = code === 'ABORTED' ? 600 : 1;
  const options = { lockSeconds: 1, stallSeconds, signal: signalOf() };
  await expect(withSnapshot(pool, nobody, options, work)).rejects.toMatchObject({ code });
  await pool.end();
});

/** What runs of the pool's, as Postgres tells. */
function activeOf(applicationName: string): Promise<number> {
  return asAdmin(database.adminUrl, async (admin) => {
    const { rowCount } = await admin.query(
      `SELECT FROM pg_stat_activity WHERE application_name = $1 AND state = 'active'`,
      [applicationName],
    );
    return rowCount ?? 0;
  });
}

async function snapshotOfTable(
  signal: AbortSignal,
  run: (snapshot: Snapshot) => Promise<unknown>,
): Promise<unknown> {
  const applicationName = 'dumper-test-cancel';
  const pool = createPool({ url: database.readUrl, applicationName, size: 1, onIdleError: () => undefined });
  try {
    await asAdmin(database.writeUrl, (owner) => owner.query('CREATE TABLE IF NOT EXISTS t (_id int)'));
    return await withSnapshot(pool, asResourceId('t'), { lockSeconds: 5, stallSeconds: 600, signal }, run);
  } finally {
    await pool.end();
  }
}

test('P12: a snapshot that is given up has its query cancelled', async () => {
  const abort = new AbortController();
  const given = snapshotOfTable(abort.signal, ({ client, answered }) =>
    answered(client.query('SELECT pg_sleep(600)')),
  );
  const ended = expect(given).rejects.toMatchObject({ code: 'ABORTED' });
  await eventually('it runs', async () => (await activeOf('dumper-test-cancel')) === 1);
  abort.abort();
  await ended;
  await eventually('nothing runs', async () => (await activeOf('dumper-test-cancel')) === 0, { seconds: 2 });
});

test('P12: Postgres itself ends the query of a process that is gone', async () => {
  const given = snapshotOfTable(new AbortController().signal, ({ client }) => {
    const asked = client.query('SELECT pg_sleep(600)');
    const { stream } = (client as unknown as { connection: { stream: Socket } }).connection;
    void eventually('it runs', async () => (await activeOf('dumper-test-cancel')) === 1).then(() =>
      stream.destroy(),
    );
    return asked;
  });
  await expect(given).rejects.toThrow();
  await eventually('nothing runs', async () => (await activeOf('dumper-test-cancel')) === 0);
});

test('a query ends by its deadline, and the pool connects anew', async () => {
  const pool = await silentPool(1);
  await expect(pool.query('SELECT')).rejects.toThrow('timeout');
  proxy.pass();
  expect((await pool.query('SELECT 1 AS one')).rows).toEqual([{ one: 1 }]);
  await pool.end();
});
