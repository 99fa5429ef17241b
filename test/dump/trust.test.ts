/** P9: code of a table's owner never runs with the rights of the service, which reads every table of the DataStore. */
import type { Pool } from 'pg';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { copyOut } from '../../src/dump/copy.ts';
import { wholeTable } from '../../src/dump/selection.ts';
import { withSnapshot } from '../../src/dump/snapshot.ts';
import { lookUpTable } from '../../src/postgres/revision.ts';
import { asResourceId } from '../../src/postgres/table.ts';
import { startServing, type Serving } from '../serve/serving.ts';
import { installationFixture, type Installation } from '../world/installation.ts';
import { asAdmin } from '../world/postgres.ts';

let installation: Installation;
let pool: Pool;

/** A role that may make tables, and functions of it that betray that they ran. */
const hostile = `DO $$ BEGIN
    IF NOT EXISTS (SELECT FROM pg_roles WHERE rolname = 'hostile_owner') THEN CREATE ROLE hostile_owner; END IF;
  END $$;
  GRANT CREATE, USAGE ON SCHEMA public TO hostile_owner;
  ALTER DEFAULT PRIVILEGES FOR ROLE hostile_owner IN SCHEMA public GRANT SELECT ON TABLES TO datastore_default;
  SET ROLE hostile_owner;`;
const betrays = `LANGUAGE plpgsql IMMUTABLE AS $$ BEGIN RAISE 'it ran as %', current_user; END $$`;

beforeAll(async () => {
  installation = await installationFixture();
  pool = installation.openPool({ applicationName: 'test trust' });
});
afterAll(async () => {
  await asAdmin(installation.database.adminUrl, (admin) =>
    admin.query('DROP OWNED BY hostile_owner CASCADE; DROP ROLE hostile_owner'),
  );
  await installation.end();
});

function asHostile(sql: string): Promise<unknown> {
  return asAdmin(installation.database.adminUrl, (admin) => admin.query(`${hostile} ${sql}`));
}

/** The rows of a whole table, as CSV. */
async function scan(name: string): Promise<string> {
  const [id, signal] = [asResourceId(name), new AbortController().signal];
  const chunks: Buffer[] = [];
  await withSnapshot(pool, id, { lockSeconds: 5, stallSeconds: 30, signal }, ({ client, columns }) =>
    copyOut(client, wholeTable(id, columns).copy, {
      onBytes: (bytes) => {
        const end = bytes.findIndex((byte, index) => byte === 0x63 && bytes[index + 1] === 0);
        chunks.push(Buffer.from(end < 0 ? bytes : bytes.subarray(0, end)));
        return end < 0 ? null : bytes.subarray(end);
      },
      signal,
      stallSeconds: 30,
    }),
  );
  return Buffer.concat(chunks).toString('latin1');
}

const untrusted = (name: string): object => ({
  code: 'TABLE_UNSAFE',
  message: expect.stringContaining(`the function ${name} of the role hostile_owner`),
});

describe('P9: a table whose reading would run its owner’s code is refused, with the reason', () => {
  test('a policy of row security', async () => {
    await asHostile(`CREATE TABLE secured (_id serial PRIMARY KEY, a text); INSERT INTO secured (a) VALUES ('1'), ('2');
      CREATE FUNCTION policy_of_it(text) RETURNS boolean ${betrays};
      ALTER TABLE secured ENABLE ROW LEVEL SECURITY; CREATE POLICY p ON secured USING (policy_of_it(a))`);
    await expect(scan('secured')).rejects.toMatchObject({
      code: 'TABLE_UNSAFE',
      message: expect.stringContaining('row security'),
    });
  });

  test('row security that comes after the check is Postgres’s error, never a short dump', async () => {
    await asHostile(`CREATE TABLE checked (_id serial PRIMARY KEY); CREATE TABLE later (_id serial PRIMARY KEY);
      ALTER TABLE later ENABLE ROW LEVEL SECURITY`);
    const options = { lockSeconds: 5, stallSeconds: 30, signal: new AbortController().signal };
    const read = withSnapshot(pool, asResourceId('checked'), options, ({ client }) =>
      client.query('SELECT * FROM later'),
    );
    await expect(read).rejects.toMatchObject({ code: '42501' });
  });

  test.each([
    ['a cast to json', 'spy', `CREATE TABLE of_casts (_id serial PRIMARY KEY, a mood)`],
    ['a cast inside an array', 'spy', `CREATE TABLE of_casts (_id serial PRIMARY KEY, a mood[])`],
    [
      'a cast inside a composite',
      'spy',
      `CREATE TYPE pair AS (n int, m mood); CREATE TABLE of_casts (_id serial PRIMARY KEY, a pair)`,
    ],
  ])('%s', async (_what, name, create) => {
    await asHostile(`CREATE TYPE mood AS ENUM ('good'); CREATE FUNCTION spy(mood) RETURNS json ${betrays};
      CREATE CAST (mood AS json) WITH FUNCTION spy(mood); ${create}`);
    await expect(scan('of_casts')).rejects.toMatchObject(untrusted(name));
    await asHostile('DROP TABLE of_casts; DROP TYPE mood CASCADE; DROP TYPE IF EXISTS pair');
  });

  test.each([
    ['an index', 'CREATE INDEX ON planned ((planner_spy(a)))'],
    ['a constraint', 'ALTER TABLE planned ADD CHECK (planner_spy(a) IS NOT NULL)'],
    ['statistics', 'CREATE STATISTICS s ON (planner_spy(a)), _id FROM planned'],
  ])('an expression of %s, which the planner may evaluate', async (_what, create) => {
    await asHostile(`CREATE TABLE planned (_id serial PRIMARY KEY, a text);
      CREATE FUNCTION planner_spy(text) RETURNS text LANGUAGE sql IMMUTABLE AS 'SELECT $1'; ${create}`);
    await expect(scan('planned')).rejects.toMatchObject(untrusted('planner_spy'));
    await asHostile('DROP TABLE planned; DROP FUNCTION planner_spy(text)');
  });
});

describe('P9: what fits better in `public` is not called', () => {
  test('not for the values of a dump', async () => {
    await asHostile(`CREATE TYPE fitting AS (n int); CREATE TABLE fits (_id serial PRIMARY KEY, a fitting);
      INSERT INTO fits (a) VALUES (row(7)); CREATE FUNCTION to_json(fitting) RETURNS json ${betrays}`);
    expect(await scan('fits')).toContain('{""n"":7}');
  });

  test('not for the tokens of any table', async () => {
    await installation.createTable('plain', 1);
    await installation.asOwner(`SELECT datastore_dumper.attach('plain', 1000)`);
    await asHostile(`CREATE FUNCTION concat_ws(text, oid, xid) RETURNS text ${betrays};
      CREATE FUNCTION "%"(numeric, bigint) RETURNS numeric ${betrays};
      CREATE OPERATOR % (FUNCTION = "%", LEFTARG = numeric, RIGHTARG = bigint)`);
    expect(await lookUpTable(pool, 'plain')).toMatchObject({ tier: 'exact' });
  });
});

test('functions of the tables’ own owner are trusted: an index of the portal’s own keeps no table from its dump', async () => {
  await installation.asOwner(`CREATE TABLE own (_id serial PRIMARY KEY, a text); INSERT INTO own (a) VALUES ('x');
    CREATE FUNCTION folded(text) RETURNS text LANGUAGE sql IMMUTABLE AS 'SELECT lower($1)';
    CREATE INDEX ON own ((folded(a)))`);
  expect(await scan('own')).toContain('1,x');
});

describe('a table with row security', () => {
  let serving: Serving;
  beforeAll(async () => {
    serving = await startServing();
  });
  afterAll(() => serving.close());

  test('P9: its live answer is a 503 with one plain line, and its publication fails with the reason', async () => {
    await serving.createTable('secured', 3);
    await serving.owner.query(`ALTER TABLE secured ENABLE ROW LEVEL SECURITY`);
    const response = await fetch(`${serving.url}/datastore/dump/secured`);
    expect(response.status).toBe(503);
    expect(await response.text()).toBe('This table cannot be dumped here: its rows depend on who reads it\n');
    await expect(serving.publish('secured')).rejects.toThrow('row security filters the table');
    await serving.owner.query(`ALTER TABLE secured DISABLE ROW LEVEL SECURITY`);
    expect((await fetch(`${serving.url}/datastore/dump/secured`)).status).toBe(200);
  });
});
