/** One conformance suite for every source of tables: look-up, list, one instant, a whole copy or an error. */
import { randomUUID } from 'node:crypto';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { ckanProfile } from '../../src/ckan/profile.ts';
import { createFormatter } from '../../src/dump/format/formatter.ts';
import { eventually } from '../world/eventually.ts';
import { sources, type SourceSnapshot, type SourceWorld } from './sources.ts';

const never = new AbortController().signal;
const odd = ['plain', '', 'a,b', 'say "no"', 'two\nlines', 'Fläche – 面積 🙂', '\\N', ' spaces '];

/** The table's rows by the project's own formatter, without the header. */
async function csvOf(snapshot: SourceSnapshot): Promise<string> {
  const columns = ['_id', 'name'].map((name) => ({
    name,
    type: name === '_id' ? 'int4' : 'text',
    field: { id: name },
  }));
  const formatter = createFormatter({ columns, formats: ['csv'], profile: ckanProfile('2.12') });
  const chunks: Buffer[] = [];
  const rows = await snapshot.copy((bytes) =>
    formatter.feed(bytes, (_format, emitted) => void chunks.push(Buffer.from(emitted))),
  );
  expect(rows).toBe(formatter.rows);
  return Buffer.concat(chunks).toString();
}

const quoted = (name: string): string =>
  name === '' || /[",\n]/.test(name) ? `"${name.replaceAll('"', '""')}"` : name;
const lines = (names: readonly string[]): string =>
  names.map((name, index) => `${index + 1},${quoted(name)}\n`).join('');

describe.each(Object.entries(sources))('a source of tables: %s', (_name, open) => {
  let world: SourceWorld;
  const id = randomUUID();
  const other = randomUUID();
  beforeAll(async () => {
    world = await open();
    await world.createTable(id, odd);
    await world.createTable(other, []);
    await world.createAlias('an alias', id);
  });
  afterAll(() => world.stop());

  it('finds a table by its id and by an alias, and nothing else', async () => {
    const byId = await world.source.lookUp(id);
    expect(byId).toMatchObject({ id, byAlias: false });
    expect(await world.source.lookUp('an alias')).toMatchObject({ id, byAlias: true, token: byId?.token });
    for (const name of [randomUUID(), '', 'a\0b', 'x'.repeat(64), id.toUpperCase(), `${id}"`, "'; --"]) {
      expect([name, await world.source.lookUp(name)]).toEqual([name, null]);
    }
  });

  it('lists every table once, with the token that a look-up gives', async () => {
    const all = await world.source.all();
    expect(all.map((table) => table.id).toSorted()).toEqual([id, other].toSorted());
    for (const table of all) expect((await world.source.lookUp(table.id))?.token).toBe(table.token);
  });

  it('P22 a copy holds every row in the order of `_id`, each cell as it was written', async () => {
    const csv = await world.source.snapshot(id, never, csvOf);
    expect(csv).toBe(lines(odd));
    expect(await world.source.snapshot(other, never, csvOf)).toBe('');
  });

  it('tells every column of a snapshot, in table order', async () => {
    const columns = await world.source.snapshot(id, never, async (snapshot) => snapshot.columns);
    expect(columns).toEqual(['_id', '_full_text', 'name']);
  });

  it('P3 a snapshot shows one instant: what is committed meanwhile is in the next one', async () => {
    const table = randomUUID();
    await world.createTable(table, ['before']);
    const during = await world.source.snapshot(table, never, async (snapshot) => {
      await world.insert(table, ['after']);
      return csvOf(snapshot);
    });
    expect(during).toBe(lines(['before']));
    expect(await world.source.snapshot(table, never, csvOf)).toBe(lines(['before', 'after']));
  });

  it('P4 a change gives another token', async () => {
    const table = randomUUID();
    await world.createTable(table, ['one']);
    const before = await world.source.lookUp(table);
    await world.insert(table, ['two']);
    await eventually(
      'the token tells of the change',
      async () => (await world.source.lookUp(table))?.token !== before?.token,
    );
  });

  it('P1 an aborted copy is an error, and the source answers on', async () => {
    const table = randomUUID();
    const names = Array.from({ length: 20_000 }, (_, index) => `${index} ${'x'.repeat(100)}`);
    await world.createTable(table, names);
    const stop = new AbortController();
    const copying = world.source.snapshot(table, stop.signal, (snapshot) =>
      snapshot.copy(() => {
        stop.abort();
        return null;
      }),
    );
    await expect(copying).rejects.toMatchObject({ code: 'ABORTED' });
    const error = new Error('the reader failed');
    await expect(
      world.source.snapshot(table, never, (snapshot) =>
        snapshot.copy(() => {
          throw error;
        }),
      ),
    ).rejects.toThrow('the reader failed');
    // A difference of 20,000 lines would take a minute to print.
    expect((await world.source.snapshot(table, never, csvOf)) === lines(names)).toBe(true);
  });

  it('a table that was dropped is found no more', async () => {
    const table = randomUUID();
    await world.createTable(table, ['one']);
    await world.dropTable(table);
    expect(await world.source.lookUp(table)).toBeNull();
    expect(await world.source.snapshot(table, never, csvOf)).toBeNull();
    expect((await world.source.all()).map((listed) => listed.id)).not.toContain(table);
  });
});
