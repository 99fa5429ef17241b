/**
 * P4, the core of it: equal tokens mean equal data, and a look-up that begins after a commit never reads a token from
 * before it. Writers change three tables in every way at once, two of them with DDL; readers take snapshots as a
 * publication does (lock, then token and data) and compare.
 */
import { createHash } from 'node:crypto';
import { Client } from 'pg';
import { expect, test, vi } from 'vitest';
import { fold, installTriggers } from '../../src/change/journal.ts';
import { lookUpTable, tableState } from '../../src/postgres/revision.ts';
import { asResourceId } from '../../src/postgres/table.ts';
import { recordCount } from '../world/counts.ts';
import { freshDatabase, startPostgres, type Database, type PostgresServer } from '../world/postgres.ts';

// hundreds of pairs of snapshots, and a server of another version
vi.setConfig({ testTimeout: 180_000 });

const tables = ['t0', 't1', 't2'] as const;
const turnsOfAWriter = 120;

type Random = (below: number) => number;

/** The same numbers in each run: Park and Miller's generator. */
function seeded(seed: number): Random {
  let state = seed;
  return (below) => {
    state = (state * 48_271) % 2_147_483_647;
    return state % below;
  };
}

/** Each leaves the table different from every state before it: the value is new. */
const changes: readonly ((table: string, value: number) => string)[] = [
  (table, value) => `INSERT INTO ${table} (a) VALUES ('${value}')`,
  (table, value) => `INSERT INTO ${table} (a) SELECT '${value}' FROM generate_series(1, 20)`,
  (table, value) => `INSERT INTO ${table} (a) VALUES ('${value}'); DELETE FROM ${table} WHERE _id % 3 = 0`,
  (table, value) => `TRUNCATE ${table} RESTART IDENTITY; INSERT INTO ${table} (a) VALUES ('${value}')`,
  (table, value) =>
    `SAVEPOINT s; TRUNCATE ${table}; ROLLBACK TO s; INSERT INTO ${table} (a) VALUES ('${value}')`,
  (table, value) => `COMMENT ON COLUMN ${table}.a IS '${value}'`,
  (table, value) =>
    `ALTER TABLE ${table} ADD COLUMN IF NOT EXISTS b int DEFAULT 1; INSERT INTO ${table} (a) VALUES ('${value}')`,
  (
    table,
    value,
  ) => `ALTER TABLE ${table} ALTER COLUMN a TYPE varchar; ALTER TABLE ${table} ALTER COLUMN a TYPE text;
    INSERT INTO ${table} (a) VALUES ('${value}')`,
  (table, value) => `DROP TABLE ${table}; CREATE TABLE ${table} (_id serial PRIMARY KEY, a text);
    INSERT INTO ${table} (a) VALUES ('${value}')`,
];

for (const version of [15, 18] as const) {
  let server: PostgresServer;
  let database: Database;
  const clients: Client[] = [];

  const connect = async (url: string): Promise<Client> => {
    const client = new Client({ connectionString: url });
    await client.connect();
    clients.push(client);
    return client;
  };

  /** One writer: its commits, and after each that no look-up reads what was read before. */
  const writer = async (random: Random, nextValue: () => number): Promise<number> => {
    const write = await connect(database.writeUrl);
    const read = await connect(database.readUrl);
    let checked = 0;
    for (let turn = 0; turn < turnsOfAWriter; turn += 1) {
      const table = tables[random(tables.length)] ?? 't0';
      const change = changes[random(changes.length)] ?? changes[0];
      const before = await lookUpTable(read, table);
      try {
        await write.query('BEGIN');
        await write.query(change?.(table, nextValue()) ?? '');
        await write.query('COMMIT');
      } catch (error) {
        // concurrent DDL: a deadlock, or the table replaced while we waited
        await write.query('ROLLBACK');
        if (!/^(40P01|42P01|42703|XX000|23505|55006)$/.test((error as { code: string }).code)) throw error;
        continue;
      }
      const after = await lookUpTable(read, table);
      expect(after?.token).not.toBe(before?.token);
      checked += 1;
      if (random(20) === 0) await fold(read);
    }
    return checked;
  };

  /** One reader: what each token showed, until the writers are done. */
  const reader = async (
    random: Random,
    seen: Map<string, string>,
    writing: () => boolean,
  ): Promise<number> => {
    const read = await connect(database.readUrl);
    let pairs = 0;
    while (writing()) {
      const table = tables[random(tables.length)] ?? 't0';
      await read.query('BEGIN ISOLATION LEVEL REPEATABLE READ, READ ONLY');
      try {
        await read.query(`LOCK TABLE ${table} IN ACCESS SHARE MODE`);
        const state = await tableState(read, asResourceId(table));
        const { rows } = await read.query(`SELECT * FROM ${table} ORDER BY 1`);
        const comment = await read.query(`SELECT col_description(oid, 2) FROM pg_class WHERE relname = $1`, [
          table,
        ]);
        const content = createHash('md5')
          .update(JSON.stringify([rows, comment.rows]))
          .digest('hex');
        if (state?.tier === 'exact') {
          const earlier = seen.get(state.token);
          if (earlier !== undefined) pairs += 1;
          expect(earlier ?? content, `${table} ${state.token}`).toBe(content);
          seen.set(state.token, content);
        }
        await read.query('COMMIT');
      } catch (error) {
        await read.query('ROLLBACK');
        if ((error as { code?: string }).code !== '42P01') throw error;
      }
    }
    return pairs;
  };

  test(`P4: Postgres ${version}: equal tokens, equal data; no token outlives a commit`, async () => {
    server = await startPostgres({ version });
    database = await freshDatabase({ server: server.adminUrl });
    try {
      const owner = await connect(database.writeUrl);
      for (const table of tables) await owner.query(`CREATE TABLE ${table} (_id serial PRIMARY KEY, a text)`);
      const superuser = await connect(database.adminUrl);
      await installTriggers(owner, { readRole: 'datastore_default', lockSeconds: 5, superuser });
      let value = 0;
      let writing = true;
      const seen = new Map<string, string>();
      const readers = [1, 2, 3].map((seed) => reader(seeded(seed * 7919), seen, () => writing));
      const writers = [1, 2, 3, 4].map((seed) => writer(seeded(seed * 104_729), () => ++value));
      const commits = await Promise.all(writers).finally(() => {
        writing = false;
      });
      const pairs = (await Promise.all(readers)).reduce((sum, count) => sum + count, 0);
      const checked = commits.reduce((sum, count) => sum + count, 0);
      recordCount('P4', `look-ups after a commit, Postgres ${version}`, checked);
      recordCount('P4', `pairs of snapshots with equal tokens, Postgres ${version}`, pairs);
      expect(checked).toBeGreaterThan(100);
      expect(seen.size).toBeGreaterThan(20);
      expect(pairs).toBeGreaterThan(0);
      console.log(
        `P4 Postgres ${version}: ${checked} commits, ${seen.size} states, ${pairs} equal-token pairs`,
      );
    } finally {
      await Promise.all(clients.splice(0).map((client) => client.end()));
      await database.drop();
      await server.stop();
    }
  });
}
