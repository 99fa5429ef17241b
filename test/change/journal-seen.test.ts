/** P4, exact tier: what a writer can set in its own session hides no change, and costs no more rows of the journal. */
import { expect, test } from 'vitest';
import { installTriggers } from '../../src/change/journal.ts';
import { asSuperuser, exactWorld, id, tokenOf } from './exact-world.ts';

const world = exactWorld();
const change = `UPDATE "${id}" SET a = a || 'x' WHERE _id = 1`;

async function journalRows(): Promise<number> {
  const { rows } = await world.write.query<{ n: number }>(
    `SELECT count(*)::int AS n FROM datastore_dumper.change`,
  );
  return rows[0]?.n ?? 0;
}

test('P4: what was seen, set again after its savepoint was rolled back, hides no change', async () => {
  const before = await tokenOf(world);
  const { write } = world;
  await write.query(`BEGIN; SAVEPOINT s; ${change}`);
  const { rows } = await write.query<{ seen: string }>(
    `SELECT current_setting('datastore_dumper.seen') AS seen`,
  );
  await write.query('ROLLBACK TO s');
  await write.query(`SELECT set_config('datastore_dumper.seen', $1, true)`, [rows[0]?.seen]);
  await write.query(`${change}; COMMIT`);
  expect(await tokenOf(world)).not.toBe(before);
});

test.each(['', ':(0,1)', ':(0,2)', '(0,1)'])(
  'P4: a made-up place (%j after table and transaction) hides no change',
  async (place) => {
    await world.write.query(change);
    const before = await tokenOf(world);
    await world.write.query(`BEGIN;
      SELECT set_config('datastore_dumper.seen', '"${id}"'::regclass::oid || ':' || pg_current_xact_id() || '${place}', true);
      ${change}; COMMIT`);
    expect(await tokenOf(world)).not.toBe(before);
  },
);

test('P4: one row of the journal for a transaction, however many statements and savepoints it has', async () => {
  const before = await journalRows();
  await world.write.query(`BEGIN; ${change}`);
  for (let count = 0; count < 20; count += 1) {
    await world.write.query(`SAVEPOINT s; ${change}; RELEASE s`);
    await world.write.query(`SAVEPOINT s; ${change}; ROLLBACK TO s`);
  }
  await world.write.query('COMMIT');
  expect(await journalRows()).toBe(before + 1);
});

test('P4: nobody but the owner may write the journal, whatever rights new tables come with', async () => {
  const { rows } = await world.read
    .query(`SELECT has_table_privilege('datastore_dumper.change', right_name) AS may
    FROM unnest(ARRAY['INSERT', 'UPDATE', 'DELETE', 'TRUNCATE', 'TRIGGER']) right_name`);
  expect(rows.every(({ may }) => may === false)).toBe(true);
});

test('a journal of an earlier version is upgraded in its place, and its tokens stay', async () => {
  await world.write.query(change);
  const before = await tokenOf(world);
  await world.write.query('ALTER TABLE datastore_dumper.change DROP COLUMN writer');
  await installTriggers(world.write, { readRole: 'datastore_default', lockSeconds: 5 });
  expect(await tokenOf(world)).toBe(before);
  await world.write.query(change);
  expect(await tokenOf(world)).not.toBe(before);
});

test('P4: a schema that somebody else made beforehand is refused: its owner could write the journal', async () => {
  await world.write.query('DROP SCHEMA datastore_dumper CASCADE');
  await asSuperuser(world, (admin) => admin.query('CREATE SCHEMA datastore_dumper AUTHORIZATION postgres'));
  try {
    await expect(
      installTriggers(world.write, { readRole: 'datastore_default', lockSeconds: 5 }),
    ).rejects.toThrow('belongs to the role postgres');
  } finally {
    await asSuperuser(world, (admin) => admin.query('DROP SCHEMA datastore_dumper CASCADE'));
  }
});
