/** P20, P21: a link to Postgres that falls silent keeps neither a publication's slot nor the process from its end. */
import { afterAll, beforeAll, expect, test } from 'vitest';
import type pg from 'pg';
import { withSnapshot } from '../../src/dump/snapshot.ts';
import { createPool } from '../../src/postgres/pool.ts';
import { asResourceId } from '../../src/postgres/table.ts';
import { startFaultProxy, type FaultProxy } from '../world/fault-proxy.ts';
import { freshDatabase, type Database } from '../world/postgres.ts';

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

test('a query ends by its deadline, and the pool connects anew', async () => {
  const pool = await silentPool(1);
  await expect(pool.query('SELECT')).rejects.toThrow('timeout');
  proxy.pass();
  expect((await pool.query('SELECT 1 AS one')).rows).toEqual([{ one: 1 }]);
  await pool.end();
});
