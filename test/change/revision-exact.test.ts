/** P4, exact tier: every way to change a table changes its token, and nothing else does. */
import { Client } from 'pg';
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, test } from 'vitest';
import {
  attachMissing,
  fold,
  installTriggers,
  journalStatus,
  removeTriggers,
} from '../../src/change/journal.ts';
import { allTables, lookUp, tableState } from '../../src/revision.ts';
import { asResourceId } from '../../src/table.ts';
import { freshDatabase, type Database } from '../world/postgres.ts';

const id = asResourceId('8f0c2d5e-0000-4000-8000-000000000001');
let database: Database;
let write: Client;
let read: Client;

async function connect(url: string): Promise<Client> {
  const client = new Client({ connectionString: url });
  client.on('error', () => undefined);
  await client.connect();
  return client;
}

async function token(): Promise<string> {
  const found = await lookUp(read, id);
  expect(found?.tier).toBe('exact');
  return found?.token ?? '';
}

async function asSuperuser(work: (admin: Client) => Promise<unknown>): Promise<void> {
  const admin = await connect(database.adminUrl);
  try {
    await work(admin);
  } finally {
    await admin.end();
  }
}

async function createTable(): Promise<void> {
  await write.query(`CREATE TABLE "${id}" (_id serial PRIMARY KEY, _full_text tsvector, a text, n numeric)`);
}

beforeAll(async () => {
  database = await freshDatabase();
  write = await connect(database.writeUrl);
  read = await connect(database.readUrl);
});

afterAll(async () => {
  await write.end();
  await read.end();
  await database.drop();
});

beforeEach(async () => {
  await createTable();
  await write.query(`INSERT INTO "${id}" (a) SELECT 'row ' || n FROM generate_series(1, 20) n`);
  await installTriggers(write, { readRole: 'datastore_default', lockSeconds: 5 });
});

afterEach(async () => {
  await write.query(`DROP TABLE IF EXISTS "${id}" CASCADE`);
  await removeTriggers(write, 5);
});

const changes: Record<string, string> = {
  insert: `INSERT INTO "${id}" (a) VALUES ('x')`,
  update: `UPDATE "${id}" SET a = 'x' WHERE _id = 3`,
  'update to the same value': `UPDATE "${id}" SET a = a WHERE _id = 3`,
  delete: `DELETE FROM "${id}" WHERE _id = 3`,
  truncate: `TRUNCATE "${id}" RESTART IDENTITY`,
  upsert: `INSERT INTO "${id}" (_id, a) VALUES (3, 'x') ON CONFLICT (_id) DO UPDATE SET a = excluded.a`,
  'drop and create': `DROP TABLE "${id}"; CREATE TABLE "${id}" (_id serial PRIMARY KEY, _full_text tsvector, a text, n numeric);
    SELECT datastore_dumper.attach('${id}', 1000)`,
  'add a column': `ALTER TABLE "${id}" ADD COLUMN b text DEFAULT 'y'`,
  'drop a column': `ALTER TABLE "${id}" DROP COLUMN n`,
  'change a type': `ALTER TABLE "${id}" ALTER COLUMN n TYPE integer`,
  'change a type without a rewrite': `ALTER TABLE "${id}" ALTER COLUMN a TYPE varchar`,
  'rename a column': `ALTER TABLE "${id}" RENAME COLUMN a TO z`,
  comment: `COMMENT ON COLUMN "${id}".a IS '{"_info": {"label": "A"}}'`,
  'replication role': `SET session_replication_role = replica; INSERT INTO "${id}" (a) VALUES ('x'); RESET session_replication_role`,
  'triggers off and on again': `ALTER TABLE "${id}" DISABLE TRIGGER ALL; UPDATE "${id}" SET a = 'y';
    ALTER TABLE "${id}" ENABLE ALWAYS TRIGGER datastore_dumper_rows; ALTER TABLE "${id}" ENABLE ALWAYS TRIGGER datastore_dumper_truncate`,
  'datapusher: drop, create, insert in batches': `DROP TABLE "${id}"; CREATE TABLE "${id}" (_id serial PRIMARY KEY, _full_text tsvector, a text);
    SELECT datastore_dumper.attach('${id}', 1000); INSERT INTO "${id}" (a) VALUES ('1'); INSERT INTO "${id}" (a) VALUES ('2')`,
  'xloader: truncate, load, alter types': `TRUNCATE "${id}" RESTART IDENTITY; INSERT INTO "${id}" (a, n) VALUES ('1', 1);
    ALTER TABLE "${id}" ALTER COLUMN n TYPE text`,
  'datapusher-plus: truncate and load in one transaction': `BEGIN; TRUNCATE "${id}"; INSERT INTO "${id}" (a) VALUES ('1'); COMMIT`,
};

const needSuperuser = new Set(['replication role']);

describe('P4: a changed table never keeps its token', () => {
  test.for(Object.entries(changes))('%s', async ([name, statement]) => {
    const before = await token();
    if (needSuperuser.has(name)) await asSuperuser((admin) => admin.query(statement));
    else await write.query(statement);
    expect(await token()).not.toBe(before);
  });

  test('COPY FREEZE in the transaction that truncates', async () => {
    const before = await token();
    await write.query(`BEGIN; TRUNCATE "${id}"; COPY "${id}" (a) FROM PROGRAM 'true' WITH (FREEZE)`).then(
      () => write.query('COMMIT'),
      async () => {
        // server-side COPY needs rights that the owner lacks: the superuser loads instead
        await write.query('ROLLBACK');
        await asSuperuser((admin) =>
          admin.query(
            `BEGIN; TRUNCATE "${id}"; COPY "${id}" (a) FROM PROGRAM 'echo 1' WITH (FREEZE); COMMIT`,
          ),
        );
      },
    );
    expect(await token()).not.toBe(before);
  });

  test('changes of many kinds in one transaction, seen only by their commit', async () => {
    const before = await token();
    await write.query(
      `BEGIN; INSERT INTO "${id}" (a) VALUES ('x'); SAVEPOINT s; DELETE FROM "${id}"; ROLLBACK TO s`,
    );
    expect(await token()).toBe(before);
    await write.query('COMMIT');
    const after = await token();
    expect(after).not.toBe(before);
    await write.query(
      `BEGIN; SAVEPOINT s; DELETE FROM "${id}"; ROLLBACK TO s; UPDATE "${id}" SET a = 'z'; COMMIT`,
    );
    expect(await token()).not.toBe(after);
  });
});

describe('P4: a token stays while the table does', () => {
  const harmless: Record<string, string> = {
    'a rolled back change': `BEGIN; DELETE FROM "${id}"; ROLLBACK`,
    analyze: `ANALYZE "${id}"`,
    vacuum: `VACUUM (FREEZE) "${id}"`,
    'an index': `CREATE INDEX ON "${id}" (a)`,
    'another table': `CREATE TABLE other (_id serial); INSERT INTO other DEFAULT VALUES; DROP TABLE other`,
    'a second installation': '',
  };
  test.for(Object.entries(harmless))('%s', async ([name, statement]) => {
    const before = await token();
    if (statement) await write.query(statement);
    else await installTriggers(write, { readRole: 'datastore_default', lockSeconds: 5 });
    expect(await token(), name).toBe(before);
  });

  test('the journal is folded, twice at once, and orphans go', async () => {
    for (let n = 0; n < 10; n += 1) await write.query(`INSERT INTO "${id}" (a) VALUES ('x')`);
    await write.query(`CREATE TABLE gone (_id serial); SELECT datastore_dumper.attach('gone', 100)`);
    await write.query(`INSERT INTO gone DEFAULT VALUES; DROP TABLE gone`);
    const before = await token();
    expect(await Promise.all([fold(read), fold(write)])).toEqual([true, true]);
    expect(await token()).toBe(before);
    const { rows } = await write.query('SELECT count(*)::int AS n FROM datastore_dumper.change');
    expect(rows[0].n).toBe(1);
  });

  test('look-up, snapshot and sweep read the same token', async () => {
    const one = await lookUp(read, id);
    const inside = await tableState(read, id);
    const all = await allTables(read);
    expect(one).toEqual({ ...inside, byAlias: false });
    expect(all.get(id)).toEqual(inside);
  });
});

describe('what a client may ask for', () => {
  test('an alias leads to its table, nothing else to any', async () => {
    await write.query(`CREATE VIEW "my alias" AS SELECT * FROM "${id}"`);
    expect(await lookUp(read, 'my alias')).toEqual({ ...(await tableState(read, id)), byAlias: true });
    for (const name of [
      '',
      'pg_class',
      '_table_metadata',
      `${id}${'x'.repeat(80)}`,
      'a\0b',
      `"${id}"`,
      "' OR true --",
    ]) {
      expect(await lookUp(read, name), name).toBeNull();
    }
  });

  test('a name longer than an identifier is not cut to one that exists', async () => {
    const longest = 'n'.repeat(63);
    await write.query(`CREATE TABLE "${longest}" (_id serial)`);
    try {
      expect((await lookUp(read, longest))?.id).toBe(longest);
      expect(await lookUp(read, `${longest}n`)).toBeNull();
    } finally {
      await write.query(`DROP TABLE "${longest}"`);
    }
  });
});

describe('installing and removing', () => {
  test('another read role, given later, reads exact tokens too', async () => {
    await asSuperuser((admin) => admin.query(`CREATE ROLE "other-reader" LOGIN PASSWORD 'pass'`));
    try {
      const url = new URL(database.readUrl);
      url.username = 'other-reader';
      const other = await connect(url.href);
      expect((await lookUp(other, id))?.tier).toBe('read-only');
      await installTriggers(write, { readRole: 'other-reader', lockSeconds: 5 });
      expect((await lookUp(other, id))?.tier).toBe('exact');
      expect((await lookUp(read, id))?.tier).toBe('exact');
      await other.end();
    } finally {
      await removeTriggers(write, 5);
      await asSuperuser((admin) => admin.query(`DROP OWNED BY "other-reader"; DROP ROLE "other-reader"`));
    }
  });

  test('removed and installed again: tokens fall back and return, on the same connection', async () => {
    const before = await token();
    await removeTriggers(write, 5);
    expect((await lookUp(read, id))?.tier).toBe('read-only');
    await installTriggers(write, { readRole: 'datastore_default', lockSeconds: 5 });
    expect(await token()).not.toBe(before);
  });

  test.for([false, true])('removal leaves nothing behind (superuser helped: %s)', async (helped) => {
    const world = `SELECT (SELECT count(*)::int FROM pg_proc) AS functions, (SELECT count(*)::int FROM pg_trigger WHERE NOT tgisinternal) AS triggers,
      (SELECT count(*)::int FROM pg_event_trigger) AS events, (SELECT array_agg(nspname ORDER BY 1) FROM pg_namespace WHERE nspname !~ '^pg_') AS schemas,
      (SELECT count(*)::int FROM pg_class WHERE relnamespace <> 'pg_toast'::regnamespace) AS relations,
      (SELECT nspacl::text FROM pg_namespace WHERE nspname = 'public') AS rights`;
    await removeTriggers(write, 5);
    const { rows: clean } = await write.query(world);
    const install = async (superuser?: Client): Promise<unknown> =>
      installTriggers(write, {
        readRole: 'datastore_default',
        lockSeconds: 5,
        ...(superuser ? { superuser } : {}),
      });
    if (helped) await asSuperuser(install);
    else await install();
    expect(await journalStatus(read)).toEqual({ installed: true, coversNewTables: helped });
    await removeTriggers(write, 5);
    const { rows: after } = await write.query(world);
    expect(after).toEqual(clean);
  });

  test('with a superuser once, new tables are covered from birth and definitions are told', async () => {
    await asSuperuser((superuser) =>
      installTriggers(write, { readRole: 'datastore_default', lockSeconds: 5, superuser }),
    );
    await read.query('LISTEN datastore_dumper');
    const told: string[] = [];
    const listener = ({ payload }: { payload?: string | undefined }): void => void told.push(payload ?? '');
    read.on('notification', listener);
    const heard = async (): Promise<string[]> => {
      await read.query('SELECT 1');
      return told.splice(0);
    };
    await write.query(`CREATE TABLE born (_id serial, a text)`);
    expect((await lookUp(read, 'born'))?.tier).toBe('exact');
    expect(await heard()).toContain('born');
    await write.query(`COMMENT ON COLUMN born.a IS 'x'`);
    expect(await heard()).toEqual(['born']);
    await write.query(`DROP TABLE born`);
    expect(await heard()).toEqual(['born']);
    await write.query(`INSERT INTO "${id}" (a) VALUES ('x')`);
    expect(await heard()).toEqual([id]);
    read.off('notification', listener);
    await read.query('UNLISTEN *');
  });

  test('a table that is locked is left for the next sweep, in bounded time', async () => {
    const locked = asResourceId('locked');
    await write.query(`CREATE TABLE locked (_id serial)`);
    const other = await connect(database.writeUrl);
    await other.query('BEGIN; INSERT INTO locked DEFAULT VALUES');
    expect(await attachMissing(write, [locked], 0.05)).toEqual({ attached: [], busy: [locked], refused: [] });
    await other.query('ROLLBACK');
    expect(await attachMissing(write, [locked], 5)).toEqual({ attached: [locked], busy: [], refused: [] });
    await other.end();
    await write.query('DROP TABLE locked');
  });
});
