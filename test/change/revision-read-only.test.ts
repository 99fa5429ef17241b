/** P4, read-only tier: what rights to read alone can tell, where it lags, and what makes up for it. */
import { Client } from 'pg';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { ckanProfile } from '../../src/ckan/profile.ts';
import {
  allTables,
  createStabilityTracker,
  freshness,
  lookUpTable,
  revisionToken,
  settledState,
  tableState,
  type TableState,
} from '../../src/postgres/revision.ts';
import { asResourceId } from '../../src/postgres/table.ts';
import { eventually } from '../world/eventually.ts';
import { freshDatabase, startPostgres, type Database, type PostgresServer } from '../world/postgres.ts';

const profile = ckanProfile('2.12');
const id = asResourceId('t');
let server: PostgresServer;
let database: Database;
let write: Client;
let read: Client;

async function connect(url: string): Promise<Client> {
  const client = new Client({ connectionString: url });
  client.on('error', () => undefined);
  await client.connect();
  return client;
}

async function reconnect(): Promise<void> {
  await Promise.all([write, read].map((client) => client?.end().catch(() => undefined)));
  await eventually(
    'the server answers',
    async () => {
      const client = await connect(database.readUrl);
      await client.query('SELECT 1');
      await client.end();
      return true;
    },
    { seconds: 25 },
  );
  write = await connect(database.writeUrl);
  read = await connect(database.readUrl);
}

const token = async (): Promise<string | undefined> => (await lookUpTable(read, id))?.token;

beforeAll(async () => {
  server = await startPostgres();
  database = await freshDatabase({ server: server.adminUrl });
  await reconnect();
  await write.query(`CREATE TABLE t (_id serial PRIMARY KEY, _full_text tsvector, a text)`);
  await write.query(`INSERT INTO t (a) VALUES ('1'), ('2')`);
});

afterAll(async () => {
  await write.end();
  await read.end();
  await database.drop();
  await server.stop();
});

describe('P4: seen with rights to read alone', () => {
  test.for([
    `INSERT INTO t (a) VALUES ('x')`,
    `UPDATE t SET a = 'y' WHERE _id = 1`,
    `DELETE FROM t WHERE _id = 2`,
  ])('soon after the commit: %s', async (statement) => {
    const before = await token();
    const writer = await connect(database.writeUrl);
    await writer.query(statement);
    // a connection that goes on may keep its counters to itself for ten seconds more
    await writer.end();
    await eventually('the counters moved', async () => (await token()) !== before, { seconds: 25 });
  });

  test.for([
    'TRUNCATE t',
    'ALTER TABLE t ADD COLUMN b text',
    `COMMENT ON COLUMN t.a IS '{}'`,
    'DROP TABLE t; CREATE TABLE t (_id serial PRIMARY KEY, _full_text tsvector, a text)',
  ])('at once: %s', async (statement) => {
    const before = await token();
    await write.query(statement);
    expect(await token()).not.toBe(before);
  });

  test('every reading of one table says the same', async () => {
    const found = await eventually(
      'at rest',
      async () => {
        const first = await lookUpTable(read, id);
        return (await tableState(read, id))?.token === first?.token ? first : null;
      },
      { seconds: 25 },
    );
    expect(found).toMatchObject({ tier: 'read-only', byAlias: false });
    expect((await allTables(read)).get(id)?.token).toBe(found.token);
  });

  test('no look-up waits behind a long load', async () => {
    const loader = await connect(database.writeUrl);
    await loader.query(`BEGIN; TRUNCATE t; INSERT INTO t (a) VALUES ('x')`);
    await read.query(`SET lock_timeout = '100ms'`);
    expect((await lookUpTable(read, id))?.id).toBe(id);
    expect((await allTables(read)).has(id)).toBe(true);
    await read.query('RESET lock_timeout');
    await loader.query('ROLLBACK');
    await loader.end();
  });

  test('partitioned and inherited tables: any transaction moves the token', async () => {
    await write.query(`CREATE TABLE parent (_id serial, a text); CREATE TABLE child () INHERITS (parent);
      CREATE TABLE parts (_id int) PARTITION BY RANGE (_id); CREATE TABLE part PARTITION OF parts FOR VALUES FROM (0) TO (9)`);
    for (const [name, change] of [
      ['parent', `INSERT INTO child (a) VALUES ('x')`],
      ['parts', `INSERT INTO part VALUES (1)`],
    ] as const) {
      const before = (await lookUpTable(read, name))?.token;
      await write.query(change);
      expect((await lookUpTable(read, name))?.token, name).not.toBe(before);
    }
    await write.query('DROP TABLE parent, child, parts');
  });
});

describe('counters that start again from zero make another token', () => {
  test('statistics reset', async () => {
    const before = await token();
    const admin = await connect(database.adminUrl);
    await admin.query('SELECT pg_stat_reset()');
    await admin.end();
    expect(await token()).not.toBe(before);
  });

  test('server restarted', async () => {
    const before = await token();
    await server.restart();
    await reconnect();
    expect(await token()).not.toBe(before);
  });

  test('server crashed', async () => {
    const before = await token();
    const { rows } = await write.query<{ pid: number }>('SELECT pg_backend_pid() AS pid');
    const down = new Promise((resolve) => read.once('end', resolve));
    process.kill(rows[0]?.pid ?? 0, 'SIGKILL');
    await down;
    await reconnect();
    expect(await token()).not.toBe(before);
  });
});

describe('P4: what is called fresh', () => {
  const state = (text: string, tier: TableState['tier'] = 'read-only'): TableState => ({
    id,
    tier,
    token: text,
    bytes: 1,
  });
  const at = (second: number): Date => new Date(Date.UTC(2026, 0, 1) + second * 1000);
  const published = (of: TableState, second = 0) => ({
    token: revisionToken(of, profile),
    tier: of.tier,
    published_at: at(second).toISOString(),
  });

  test('nothing, another token, another tier, another profile: stale', () => {
    const now = state('a');
    expect(freshness(now, null, profile, at(999), 60)).toBe('stale');
    expect(freshness(now, published(state('b')), profile, at(999), 60)).toBe('stale');
    expect(freshness(now, published(state('a', 'exact')), profile, at(999), 60)).toBe('stale');
    expect(freshness(now, published(now), ckanProfile('2.11'), at(999), 60)).toBe('stale');
  });

  test('exact: at once; read-only: when the counters have rested for the margin', () => {
    const exact = state('a', 'exact');
    expect(freshness(exact, published(exact), profile, at(0), 60)).toBe('fresh');
    const weak = state('a');
    expect(freshness(weak, published(weak), profile, at(59), 60)).toBe('unsettled');
    expect(freshness(weak, published(weak), profile, at(60), 60)).toBe('fresh');
    expect(freshness(weak, published(weak, 100), profile, at(101), 60, at(0))).toBe('fresh');
    expect(freshness(weak, published(weak, 100), profile, at(101), 60, at(90)), 'seen moving').toBe(
      'unsettled',
    );
    expect(freshness(weak, published(weak, 100), profile, at(50), 60), 'a clock behind').toBe('unsettled');
  });

  test('the memory of rest begins anew with each movement and is lost with its table', () => {
    const rest = createStabilityTracker();
    expect(rest.observe(state('a'), at(0))).toEqual(at(0));
    expect(rest.observe(state('a'), at(50))).toEqual(at(0));
    expect(rest.observe(state('b'), at(60))).toEqual(at(60));
    rest.keepOnly(new Set());
    expect(rest.observe(state('b'), at(70))).toEqual(at(70));
  });

  test('a snapshot while counters move is labelled with a token that is never read again', () => {
    const exact = state('a', 'exact');
    expect(settledState(null, exact)).toBe(exact);
    expect(settledState(state('a'), state('a')).token).toBe('a');
    const moving = settledState(state('a'), state('b'));
    expect([moving.token === 'a', moving.token === 'b']).toEqual([false, false]);
    expect(settledState(null, state('b')).token).not.toBe(settledState(null, state('b')).token);
  });
});
