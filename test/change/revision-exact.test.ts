/** P4, exact tier: every way to change a table changes its token, and nothing else does. */
import { describe, expect, test } from 'vitest';
import { fold, installTriggers } from '../../src/change/journal.ts';
import { allTables, lookUpTable, tableState } from '../../src/postgres/revision.ts';
import { asSuperuser, exactWorld, id, tokenOf } from './exact-world.ts';

const world = exactWorld();

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
    const before = await tokenOf(world);
    if (needSuperuser.has(name)) await asSuperuser(world, (admin) => admin.query(statement));
    else await world.write.query(statement);
    expect(await tokenOf(world)).not.toBe(before);
  });

  test('COPY FREEZE in the transaction that truncates', async () => {
    const before = await tokenOf(world);
    await world.write
      .query(`BEGIN; TRUNCATE "${id}"; COPY "${id}" (a) FROM PROGRAM 'true' WITH (FREEZE)`)
      .then(
        () => world.write.query('COMMIT'),
        async () => {
          // server-side COPY needs rights that the owner lacks: the superuser loads instead
          await world.write.query('ROLLBACK');
          await asSuperuser(world, (admin) =>
            admin.query(
              `BEGIN; TRUNCATE "${id}"; COPY "${id}" (a) FROM PROGRAM 'echo 1' WITH (FREEZE); COMMIT`,
            ),
          );
        },
      );
    expect(await tokenOf(world)).not.toBe(before);
  });

  test('changes of many kinds in one transaction, seen only by their commit', async () => {
    const before = await tokenOf(world);
    await world.write.query(
      `BEGIN; INSERT INTO "${id}" (a) VALUES ('x'); SAVEPOINT s; DELETE FROM "${id}"; ROLLBACK TO s`,
    );
    expect(await tokenOf(world)).toBe(before);
    await world.write.query('COMMIT');
    const after = await tokenOf(world);
    expect(after).not.toBe(before);
    await world.write.query(
      `BEGIN; SAVEPOINT s; DELETE FROM "${id}"; ROLLBACK TO s; UPDATE "${id}" SET a = 'z'; COMMIT`,
    );
    expect(await tokenOf(world)).not.toBe(after);
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
    const before = await tokenOf(world);
    if (statement) await world.write.query(statement);
    else await installTriggers(world.write, { readRole: 'datastore_default', lockSeconds: 5 });
    expect(await tokenOf(world), name).toBe(before);
  });

  test('the journal is folded, twice at once, and orphans go', async () => {
    for (let n = 0; n < 10; n += 1) await world.write.query(`INSERT INTO "${id}" (a) VALUES ('x')`);
    await world.write.query(`CREATE TABLE gone (_id serial); SELECT datastore_dumper.attach('gone', 100)`);
    await world.write.query(`INSERT INTO gone DEFAULT VALUES; DROP TABLE gone`);
    const before = await tokenOf(world);
    expect(await Promise.all([fold(world.read), fold(world.write)])).toEqual([true, true]);
    expect(await tokenOf(world)).toBe(before);
    const { rows } = await world.write.query('SELECT count(*)::int AS n FROM datastore_dumper.change');
    expect(rows[0].n).toBe(1);
  });

  test('look-up, snapshot and sweep read the same token', async () => {
    const one = await lookUpTable(world.read, id);
    const inside = await tableState(world.read, id);
    const all = await allTables(world.read);
    expect(one).toEqual({ ...inside, byAlias: false });
    expect(all.get(id)).toEqual(inside);
  });
});

describe('what a client may ask for', () => {
  test('an alias leads to its table, nothing else to any', async () => {
    await world.write.query(`CREATE VIEW "my alias" AS SELECT * FROM "${id}"`);
    expect(await lookUpTable(world.read, 'my alias')).toEqual({
      ...(await tableState(world.read, id)),
      byAlias: true,
    });
    for (const name of [
      '',
      'pg_class',
      '_table_metadata',
      `${id}${'x'.repeat(80)}`,
      'a\0b',
      `"${id}"`,
      "' OR true --",
    ]) {
      expect(await lookUpTable(world.read, name), name).toBeNull();
    }
  });

  test('a name longer than an identifier is not cut to one that exists', async () => {
    const longest = 'n'.repeat(63);
    await world.write.query(`CREATE TABLE "${longest}" (_id serial)`);
    try {
      expect((await lookUpTable(world.read, longest))?.id).toBe(longest);
      expect(await lookUpTable(world.read, `${longest}n`)).toBeNull();
    } finally {
      await world.write.query(`DROP TABLE "${longest}"`);
    }
  });
});
