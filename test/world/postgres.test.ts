/** The world itself: fresh databases are separate, hold the whole corpus, and a leaked connection is told. */
import { Client } from 'pg';
import { expect, test, vi } from 'vitest';
import { asAdmin, freshDatabase, startPostgres, type Corpus } from './postgres.ts';

// a corpus is loaded, and a server started
vi.setConfig({ testTimeout: 120_000 });

test.each<Corpus>(['2.11.6', '2.12.0'])(
  'a copy of the %s corpus holds tables that the read role may read',
  async (corpus) => {
    const database = await freshDatabase({ corpus });
    const { rows } = await asAdmin(database.readUrl, (client) =>
      client.query<{ tables: number; refused: number; foreign: number }>(
        `SELECT count(*)::int AS tables, (count(*) FILTER (WHERE NOT has_table_privilege(oid, 'SELECT')))::int AS refused,
        (count(*) FILTER (WHERE relowner <> 'ckan_default'::regrole))::int AS foreign
       FROM pg_class WHERE relnamespace = 'public'::regnamespace AND relkind = 'r' AND relname NOT LIKE '\\_%'`,
      ),
    );
    expect(rows[0]?.tables).toBeGreaterThan(35);
    expect(rows[0]).toMatchObject({ refused: 0, foreign: 0 });
    await database.drop();
  },
);

test('the read role sees tables made later, and cannot write them', async () => {
  const database = await freshDatabase();
  await asAdmin(database.writeUrl, (client) => client.query('CREATE TABLE later (a int)'));
  await asAdmin(database.readUrl, async (client) => {
    expect((await client.query('SELECT * FROM later')).rowCount).toBe(0);
    await expect(client.query('INSERT INTO later VALUES (1)')).rejects.toThrow(/permission denied/);
    expect((await client.query('SELECT name, alias_of FROM _table_metadata')).rows).toEqual([
      { name: 'later', alias_of: null },
    ]);
  });
  await database.drop();
});

test('a connection left open is told when its database is dropped', async () => {
  const database = await freshDatabase();
  const leaked = new Client({ connectionString: database.stateUrl, application_name: 'leaky' });
  leaked.on('error', () => undefined);
  await leaked.connect();
  await expect(database.drop()).rejects.toThrow(/leaky/);
  await leaked.end().catch(() => undefined);
});

test('a server of its own, Postgres 18, keeps its data through a restart', async () => {
  const server = await startPostgres({ version: 18, settings: { log_statement: 'all' } });
  const database = await freshDatabase({ server: server.adminUrl });
  await asAdmin(database.writeUrl, (client) => client.query('CREATE TABLE kept AS SELECT 1 AS a'));
  await server.restart();
  const { rows } = await asAdmin(database.readUrl, (client) =>
    client.query(`SELECT a, current_setting('server_version_num')::int / 10000 AS version FROM kept`),
  );
  expect(rows).toEqual([{ a: 1, version: 18 }]);
  expect(server.log()).toContain('CREATE TABLE kept');
  await database.drop();
  await server.stop();
});
