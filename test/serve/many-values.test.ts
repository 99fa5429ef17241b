/** P16: a question as long as an address can be is answered, or refused by name; never by a 5xx. */
import { afterAll, beforeAll, expect, test, vi } from 'vitest';
import { ask, startServing, type Serving } from './serving.ts';

// Hundreds of questions, each of up to 64 kB.
vi.setConfig({ testTimeout: 120_000 });

let serving: Serving;
const id = 'c2000000-0000-4000-8000-000000000001';

beforeAll(async () => {
  serving = await startServing();
  await serving.createTable(id, 10_000);
});
afterAll(() => serving.close());

const among = (column: string, values: readonly unknown[]): string =>
  `${serving.url}/datastore/dump/${id}?filters=${encodeURIComponent(JSON.stringify({ [column]: values }))}`;

test('thousands of values in a filter, on a column without an index, read once a statement', async () => {
  const values = Array.from({ length: 2500 }, (_, index) => index + 1);
  const answer = await ask(among('n', values));
  expect(answer.status).toBe(200);
  expect(answer.text.trimEnd().split('\n')).toHaveLength(1 + values.length);
});

test('the last of many values is tried before the first byte, and values of several kinds stand together', async () => {
  const bad = await ask(among('n', [...Array.from({ length: 1800 }, (_, index) => String(index)), 'x']));
  expect([bad.status, bad.text]).toEqual([400, 'filters: a value does not fit its column\n']);
  for (const values of [
    [1, '2', 3.5],
    ['1', '2'],
    [1, 3e9, null],
    [1, 2, 5e30],
  ]) {
    const answer = await ask(among('n', values));
    expect([answer.status, answer.text.split('\n')[1]?.slice(0, 4)]).toEqual([200, '1,1,']);
  }
});

test('a value in a list means what it means alone, whatever its type and characters', async () => {
  const typed = 'c2000000-0000-4000-8000-000000000002';
  const columns = {
    words: 'text',
    kind: 'varchar(9)',
    whole: 'int4',
    exact: 'numeric(6,2)',
    real: 'float8',
    flag: 'boolean',
    day: 'date',
    moment: 'timestamp',
    uid: 'uuid',
    doc: 'json',
    point: 'point',
    money: 'money',
  };
  const texts = [
    'NULL',
    '',
    ' ',
    '"',
    '\\',
    '\\"',
    'a,b',
    '{a}',
    '{"a":1}',
    "it's",
    'ä\u0000b',
    'é🌳',
    '\ud800',
    'x\ny',
    'true',
    '1',
    '-1.50',
    'NaN',
    '1e3',
    '2026-11-21',
    '2026-11-21 10:00',
    '10:00',
    '1 day',
    'infinity',
    '00000000-0000-0000-0000-000000000001',
    '101',
    '10.0.0.1',
    '(1,2)',
    '<a/>',
    '\\x00',
    '99999999999999999999',
  ];
  const values = [...texts, 0, -7, 1.5, 3e9, 1e30, true, false, null];
  await serving.createTable(typed, 0);
  for (const [name, type] of Object.entries(columns))
    await serving.owner.query(`ALTER TABLE "${typed}" ADD COLUMN "${name}" ${type}`);
  for (const [name] of Object.entries(columns))
    for (const text of texts)
      await serving.owner
        .query(`INSERT INTO "${typed}" ("${name}") VALUES ($1)`, [text])
        .catch(() => undefined);
  const rows = async (filters: object): Promise<string> => {
    const asked = encodeURIComponent(JSON.stringify(filters));
    const answer = await ask(`${serving.url}/datastore/dump/${typed}?fields=_id&filters=${asked}`);
    return `${answer.status} ${answer.text}`;
  };
  let found = 0;
  const compare = async (name: string, value: unknown): Promise<void> => {
    const alone = await rows({ [name]: [value] });
    expect([name, value, await rows({ [name]: [value, value] })]).toEqual([name, value, alone]);
    if (alone.split('\n').length > 2) found += 1;
  };
  for (const name of Object.keys(columns)) {
    const left = values.values();
    const some = async (): Promise<void> => {
      for (const value of left) await compare(name, value);
    };
    await Promise.all([some(), some(), some(), some()]);
  }
  expect(found).toBeGreaterThan(60);
});

test('numbers in a list are compared as Postgres compares constants, on a column of any number type', async () => {
  const numbers = 'c2000000-0000-4000-8000-000000000003';
  const types = ['int2', 'int4', 'int8', 'numeric', 'float4', 'float8'];
  const stored = [
    '0',
    '1',
    '7',
    '0.1',
    '0.3',
    '2.5',
    '16777216',
    '16777217',
    '9007199254740993',
    '1e30',
    'NaN',
    'Infinity',
  ];
  const lists = [
    ['0.1', '0.3'],
    ['0.1', 'null'],
    ['1', '0.1'],
    ['7', '0.3', 'NaN'],
    ['16777217', '1'],
    ['16777217.0', '1'],
    ['9007199254740993', 'Infinity'],
    ['9007199254740993', '2.5'],
    ['7', '3000000000', '1e30'],
    ['2.50', '1', '0.30'],
    ['7'],
    ['0.1'],
  ];
  await serving.createTable(numbers, 0);
  for (const type of types)
    await serving.owner.query(`ALTER TABLE "${numbers}" ADD COLUMN "x ${type}" ${type}`);
  for (const type of types)
    for (const value of stored)
      await serving.owner
        .query(`INSERT INTO "${numbers}" ("x ${type}") VALUES ($1)`, [value])
        .catch(() => undefined);
  let found = 0;
  for (const type of types) {
    for (const list of lists) {
      const constants = list.map((item) => (/^[NI]/.test(item) ? `'${item}'::float` : item)).join(',');
      const { rows } = await serving.owner.query<{ id: number }>(
        `SELECT _id AS id FROM "${numbers}" WHERE "x ${type}" IN (${constants}) ORDER BY _id`,
      );
      // As few values, and as more than are compared one by one.
      for (const more of [list, [...list, ...Array.from({ length: 150 }, (_, index) => `${-9 - index}`)]]) {
        const asked = encodeURIComponent(`{"x ${type}":[${more.join(',')}]}`);
        const answer = await ask(`${serving.url}/datastore/dump/${numbers}?fields=_id&filters=${asked}`);
        const ids = answer.text.trimEnd().split(/\r?\n/).slice(1).map(Number);
        if (more === list || list.length > 1)
          expect([type, list, answer.status, ids]).toEqual([type, list, 200, rows.map((row) => row.id)]);
      }
      found += rows.length;
    }
  }
  expect(found).toBeGreaterThan(50);
});

test('more columns than a row can have are refused', async () => {
  const answer = await ask(`${serving.url}/datastore/dump/${id}?fields=${Array(2000).fill('n').join(',')}`);
  expect([answer.status, answer.text]).toEqual([400, 'fields: too many columns\n']);
});
