/** NDJSON against CKAN's JSON of the same scan: keys are the columns' names, values the same texts (promise P22). */
import * as fc from 'fast-check';
import { Pool } from 'pg';
import { afterAll, beforeAll, describe, expect, test, vi } from 'vitest';
import { ckanProfile, type CkanProfile } from '../../src/ckan/profile.ts';
import { readColumns } from '../../src/postgres/catalogue.ts';
import { copyOut } from '../../src/dump/copy.ts';
import { createFormatter } from '../../src/dump/format/formatter.ts';
import type { OutputColumn } from '../../src/dump/formatter.ts';
import { wholeTable } from '../../src/dump/selection.ts';
import { asResourceId } from '../../src/postgres/table.ts';
import { recordCount } from '../world/counts.ts';
import { freshDatabase, type Database } from '../world/postgres.ts';
import { copyMessages } from './copy-messages.ts';
import { randomTable, text } from './random-tables.ts';

// Measured with a busy machine, and room beyond.
vi.setConfig({ testTimeout: 90_000 });

type Feed = (take: (chunk: Uint8Array) => Uint8Array | null) => Promise<void> | void;

/** The rows of one scan in both formats, without head and tail. */
async function bothOf(
  columns: readonly OutputColumn[],
  profile: CkanProfile,
  feed: Feed,
): Promise<{ json: string; ndjson: string }> {
  const formatter = createFormatter({ columns, formats: ['json', 'ndjson'], profile });
  const json: Buffer[] = [];
  const ndjson: Buffer[] = [];
  await feed((chunk) =>
    formatter.feed(chunk, (format, bytes) => (format === 'json' ? json : ndjson).push(Buffer.from(bytes))),
  );
  for (const bytes of [formatter.head('ndjson'), formatter.tail('ndjson')]) expect(bytes.length).toBe(0);
  return { json: Buffer.concat(json).toString(), ndjson: Buffer.concat(ndjson).toString() };
}

/** The values of a compact JSON array as they are written. */
function rawValues(array: string): string[] {
  const values: string[] = [];
  const tokens = /"(?:[^"\\]|\\.)*"|[[\]{},]|[^"[\]{},]+/gs;
  let depth = 0;
  let value = '';
  for (const [token] of array.slice(1, -1).matchAll(tokens)) {
    if (token === '[' || token === '{') depth += 1;
    if (token === ']' || token === '}') depth -= 1;
    if (token === ',' && depth === 0) {
      values.push(value);
      value = '';
    } else value += token;
  }
  return [...values, value];
}

/** Compare line by line; the number of cells. */
function compare({ json, ndjson }: { json: string; ndjson: string }, names: readonly string[]): number {
  const arrays = json === '' ? [] : json.slice('\n    '.length).split(',\n    ');
  expect(ndjson === '' || ndjson.endsWith('\n')).toBe(true);
  const lines = ndjson.split('\n').slice(0, -1);
  expect(lines.length).toBe(arrays.length);
  for (const [index, line] of lines.entries()) {
    const values = rawValues(arrays[index] ?? '');
    expect(values.length).toBe(names.length);
    expect(line).toBe(`{${names.map((name, i) => `${JSON.stringify(name)}:${values[i]}`).join(',')}}`);
    expect(Object.keys(JSON.parse(line) as object).toSorted()).toEqual(names.toSorted());
  }
  return lines.length * names.length;
}

const profiles = [ckanProfile('2.11'), ckanProfile('2.12')] as const;
const names = fc.uniqueArray(
  fc.oneof(
    text,
    fc.constantFrom('__proto__', 'constructor', '1', '"', '\\"', '\\u0022', '\u0001', '\n', '{', ','),
  ),
  { minLength: 8, maxLength: 8 },
);

test('P22: of random tables with names of any characters', async () => {
  let cells = 0;
  await fc.assert(
    fc.asyncProperty(randomTable, names, fc.constantFrom(...profiles), async (table, any, profile) => {
      const columns = table.columns.map(({ type }, i) => {
        const name = any[i] ?? '';
        return { name, type, field: { id: name, type } };
      });
      const both = await bothOf(columns, profile, (take) => void take(copyMessages(table.rows)));
      cells += compare(
        both,
        columns.map(({ name }) => name),
      );
    }),
    { numRuns: 700 },
  );
  expect(cells).toBeGreaterThan(1000);
});

test('P22: no rows are no bytes, and a row of NULLs is a row', async () => {
  const columns = ['a', 'b'].map((name) => ({ name, type: 'text', field: {} }));
  const none = await bothOf(columns, profiles[1], (take) => void take(copyMessages([])));
  expect(none.ndjson).toBe('');
  const nulls = await bothOf(columns, profiles[1], (take) => void take(copyMessages([[null, null]])));
  expect(nulls.ndjson).toBe('{"a":null,"b":null}\n');
});

test('P22: the longest names, escaped, between cells that fill the outputs at every place', async () => {
  const columns = Array.from({ length: 40 }, (_, i) => {
    const name = `${String(i).padStart(3, '0')}${'\u0001'.repeat(60)}`;
    return { name, type: 'text', field: {} };
  });
  const rows = Array.from({ length: 300 }, (_, n) =>
    columns.map((_column, i) => 'x"'.repeat((n * 31 + i * 97) % 560)),
  );
  const both = await bothOf(columns, profiles[1], (take) => void take(copyMessages(rows)));
  compare(
    both,
    columns.map(({ name }) => name),
  );
});

describe.each(['2.11.6', '2.12.0'] as const)('P22: of the tables of a real CKAN %s', (corpus) => {
  let database: Database;
  let pool: Pool;

  beforeAll(async () => {
    database = await freshDatabase({ corpus });
    pool = new Pool({ connectionString: database.readUrl, max: 1 });
  });
  afterAll(async () => {
    await pool.end();
    await database.drop();
  });

  test('every table', async () => {
    const { rows: tables } = await pool.query<{ name: string }>(
      `SELECT relname AS name FROM pg_class WHERE relnamespace = 'public'::regnamespace AND relkind = 'r'
         AND has_table_privilege(oid, 'SELECT') AND reltuples <> 0`,
    );
    let cells = 0;
    for (const { name } of tables) {
      const client = await pool.connect();
      try {
        const id = asResourceId(name);
        const profile = ckanProfile(corpus === '2.11.6' ? '2.11' : '2.12');
        const { copy, columns } = wholeTable(id, await readColumns(client, id));
        if (columns.length === 0) continue;
        const both = await bothOf(columns, profile, async (take) => {
          const signal = AbortSignal.timeout(60_000);
          await copyOut(client, copy, { onBytes: take, signal, stallSeconds: 30 });
        });
        cells += compare(
          both,
          columns.map((column) => column.name),
        );
      } finally {
        client.release();
      }
    }
    recordCount('P22', `cells of NDJSON that are those of CKAN ${corpus}'s JSON`, cells);
    expect([tables.length > 20, cells > 10_000]).toEqual([true, true]);
  });
});
