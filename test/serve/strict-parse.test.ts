/**
 * P22: live answers over tables of any names and values parse strictly, by HTTP, in the manner of both CKAN versions,
 * and hold the table's values.
 */
import * as fc from 'fast-check';
import { Client } from 'pg';
import { SaxesParser } from 'saxes';
import { afterAll, beforeAll, expect, test, vi } from 'vitest';
import { readSeparated } from '../conformance/answer-rows.ts';
import { cells, text } from '../dump/random-tables.ts';
import { type ServiceFixture, serviceFixture } from '../world/service.ts';
import { recordCount } from '../world/counts.ts';
import { ask } from './serving.ts';

// hundreds of random tables
vi.setConfig({ testTimeout: 60_000 });

let world: ServiceFixture;
let owner: Client;
let bases: readonly string[];

beforeAll(async () => {
  world = await serviceFixture();
  const start = async (version: string): Promise<string> =>
    (await world.start({ DUMPER_CKAN_VERSION: version, DUMPER_ROLE: 'serve' })).base;
  bases = [await start('2.11'), await start('2.12')];
  owner = new Client({ connectionString: world.database.writeUrl });
  await owner.connect();
  await owner.query(`SET TimeZone = 'UTC'`);
});
afterAll(async () => {
  await owner.end();
  await world.end();
});

type Cell = string | null;

interface Table {
  readonly columns: readonly { readonly name: string; readonly type: string }[];
  readonly rows: readonly (readonly Cell[])[];
}

// Unlike the formatter's own, these pass through Postgres: in its range.
const day = fc
  .tuple(fc.integer({ min: 1, max: 4712 }), fc.integer({ min: 1, max: 12 }), fc.constantFrom('', ' BC'))
  .map(([year, month, era]) => [`${String(year).padStart(4, '0')}-${month}-11`, era] as const);
const moment = day.map(([date, era]) => `${date} 12:34:56.789${era}`);
const endless = fc.constantFrom('infinity', '-infinity');
const values: Readonly<Record<string, fc.Arbitrary<string>>> = {
  ...cells,
  float8: fc.oneof(fc.double(), fc.integer()).map(String),
  date: fc.oneof(
    day.map((parts) => parts.join('')),
    endless,
  ),
  timestamp: fc.oneof(moment, endless),
  timestamptz: fc.oneof(moment, endless),
  _text: fc
    .array(text, { maxLength: 3 })
    .map((items) => `{${items.map((item) => `"${item.replaceAll(/["\\]/g, '\\$&')}"`).join(',')}}`),
  bytea: fc.uint8Array({ maxLength: 9 }).map((bytes) => `\\x${Buffer.from(bytes).toString('hex')}`),
};

// CKAN keeps columns that begin with `_` for itself.
const reserved = ['ctid', 'xmin', 'xmax', 'cmin', 'cmax', 'tableoid'];
const name = fc
  .oneof(
    text,
    fc.string({ unit: 'grapheme', maxLength: 12 }),
    fc.string({ unit: fc.constantFrom(...'aA1_ .-:{}xmlé"\u0001\u0300'), maxLength: 8 }),
    fc.constantFrom('a b', 'a_b', 'a\tb', '1a', 'a', 'A', 'xml', 'xmla', '{u}a', '#', '%s', 'j', 'row', ':a'),
  )
  .filter(
    (one) => one !== '' && !one.startsWith('_') && Buffer.byteLength(one) <= 63 && !reserved.includes(one),
  );

const anyTable: fc.Arbitrary<Table> = fc
  .uniqueArray(fc.tuple(name, fc.constantFrom(...Object.keys(values))), {
    selector: ([one]) => one,
    minLength: 1,
    maxLength: 7,
  })
  .chain((named) => {
    const row = fc.tuple(...named.map(([, type]) => fc.option(values[type] ?? text, { freq: 6 })));
    const columns = named.map(([one, type]) => ({ name: one, type }));
    return fc.array(row, { maxLength: 4 }).map((rows) => ({ columns, rows }));
  });

const quoted = (one: string): string => `"${one.replaceAll('"', '""')}"`;

/** Arrays are JSON in a dump, and moments with a zone are as JSON has them. */
function asStored(column: string, type: string): string {
  if (type === '_text') return `to_json(${column})`;
  return type === 'timestamptz' ? `to_json(${column}) #>> '{}'` : column;
}

/** Make the table; its rows as Postgres itself writes their values. */
async function create(id: string, { columns, rows }: Table): Promise<Cell[][]> {
  const spelled = columns.map((column) => `${quoted(column.name)} ${column.type}`).join(', ');
  const names = columns.map((column) => quoted(column.name)).join(', ');
  await owner.query(`CREATE TABLE "${id}" (_id serial PRIMARY KEY, _full_text tsvector, ${spelled})`);
  const places = columns.map((_, index) => `$${index + 1}`).join(', ');
  for (const row of rows) await owner.query(`INSERT INTO "${id}" (${names}) VALUES (${places})`, [...row]);
  const { rows: stored } = await owner.query<Cell[]>({
    text: `SELECT _id::text, ${columns
      .map(({ name: one, type }) => asStored(quoted(one), type))
      .map((value) => `(${value})::text`)
      .join(', ')} FROM "${id}" ORDER BY _id`,
    rowMode: 'array',
  });
  return stored;
}

interface Element {
  readonly name: string;
  readonly nil: boolean;
  readonly text: string;
}

/** A row's columns as elements; throws where the text is no well-formed XML (2.11 keeps names like `:a`). */
function readXml(answer: string): { id: string; elements: Element[] }[] {
  const parser = new SaxesParser();
  const rows: { id: string; elements: Element[] }[] = [];
  const open: { name: string; nil: boolean; text: string }[] = [];
  parser.on('error', (error) => {
    throw error;
  });
  parser.on('opentag', ({ name: tag, attributes }) => {
    if (open.length === 1) rows.push({ id: attributes['_id'] ?? '', elements: [] });
    open.push({ name: tag, nil: attributes['xsi:nil'] === 'true', text: '' });
  });
  parser.on('text', (part) => {
    const innermost = open.at(-1);
    if (innermost !== undefined) innermost.text += part;
  });
  parser.on('closetag', () => {
    const closed = open.pop();
    if (open.length === 2 && closed !== undefined) rows.at(-1)?.elements.push(closed);
  });
  parser.write(answer).close();
  return rows;
}

const nested = ['json', 'jsonb', '_text'];
// eslint-disable-next-line no-control-regex
const notXml = /[^\t\n\r\u0020-\ud7ff\ue000-\ufffd\u{10000}-\u{10ffff}]/gu;

/** What a strict reader finds of a text in XML: forbidden characters replaced, line ends as XML 1.0 (2.11) reads them. */
const inXml = (value: string): string => value.replaceAll(notXml, '\ufffd').replaceAll(/\r\n?/g, '\n');

/** The value of a column's cell in the JSON dump. */
function sameInJson(found: unknown, stored: Cell, type: string): void {
  if (nested.includes(type)) expect(found).toEqual(stored === null ? null : JSON.parse(stored));
  else if (stored === null || (type === 'timestamp' && stored.includes('infinity'))) {
    expect(found).toBeNull();
  } else if (type === 'bool') expect(found).toBe(stored === 'true');
  else if (/^(int|float|numeric)/.test(type)) {
    expect(typeof found === 'number' ? found : Number(found)).toEqual(Number(stored));
  } else if (type === 'timestamp') expect(found).toContain(stored.slice(0, 19).replace(' ', 'T'));
  else expect(found).toBe(stored);
}

function linesOf(answer: string): string[] {
  return answer.split('\n').slice(0, -1);
}

async function check(base: string, id: string, { columns }: Table, stored: readonly Cell[][]): Promise<void> {
  const dump = async (format: string): Promise<string> => {
    const answer = await ask(`${base}/datastore/dump/${id}?format=${format}`);
    expect([format, answer.status]).toEqual([format, 200]);
    return answer.text;
  };
  const names = ['_id', ...columns.map((column) => column.name)];
  const types = ['int4', ...columns.map((column) => column.type)];
  const json = JSON.parse(await dump('json')) as {
    fields: { id: string }[];
    records: unknown[][];
  };
  expect(json.fields.map((field) => field.id)).toEqual(names);
  expect(json.records.map((record) => record.length)).toEqual(stored.map(() => names.length));
  json.records.forEach((record, row) =>
    record.forEach((found, i) => sameInJson(found, stored[row]?.[i] ?? null, types[i] ?? '')),
  );
  const objects = linesOf(await dump('ndjson')).map((line) => JSON.parse(line) as Record<string, unknown>);
  expect(objects.map((object) => Object.keys(object).toSorted())).toEqual(stored.map(() => names.toSorted()));
  expect(objects.map((object) => names.map((one) => object[one]))).toEqual(json.records);
  const csv = readSeparated(await dump('csv'), ',');
  expect(csv.names).toEqual(names);
  expect(csv.rows.map((row) => row.filter((_, i) => types[i] === 'text'))).toEqual(
    stored.map((row) => row.filter((_, i) => types[i] === 'text')),
  );
  const xml = readXml(await dump('xml'));
  expect(xml.map((row) => row.id)).toEqual(stored.map((row) => row[0]));
  xml.forEach(({ elements }, row) => {
    expect(new Set(elements.map((element) => element.name)).size).toBe(columns.length);
    elements.forEach((element, i) => {
      const [type, value = null] = [types[i + 1] ?? '', stored[row]?.[i + 1]];
      if (value === null) expect(element.nil).toBe(true);
      else if (type === 'text') expect(element.text).toBe(inXml(value));
    });
  });
}

test('P22 live answers over any table parse strictly, and hold its values, in both manners', async () => {
  let tables = 0;
  await fc.assert(
    fc.asyncProperty(anyTable, async (table) => {
      const id = `any-${(tables += 1)}`;
      try {
        const stored = await create(id, table);
        for (const base of bases) await check(base, id, table, stored);
      } finally {
        await owner.query(`DROP TABLE IF EXISTS "${id}"`);
      }
    }),
    { numRuns: 250, interruptAfterTimeLimit: 20_000 },
  );
  recordCount('P22', 'random tables whose live answers parse strictly', tables);
  expect(tables).toBeGreaterThan(0);
});
