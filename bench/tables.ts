/** The tables that are measured: shapes of open data, filled by SQL to about the CSV size asked for. */
import type { Client } from 'pg';
import { quoteIdentifier } from '../src/postgres/table.ts';

export interface Shape {
  readonly name: string;
  readonly meaning: string;
  /** Measured average of a CSV row, to turn a size into rows. */
  readonly rowBytes: number;
  readonly columns: readonly (readonly [name: string, type: string, value: string])[];
}

const word = (seed: string): string => `substr(md5((i * ${seed})::text), 1, 8)`;

const typicalColumns: Shape['columns'] = [
  ['station', 'text', `'station ' || (i % 500)`],
  ['code', 'text', word('7')],
  ['name', 'text', `'Name of place no. ' || (i % 10000) || ', ' || ${word('11')}`],
  [
    'description',
    'text',
    `'A longer remark about ' || ${word('13')} || ' & what "it" says, <' || ${word('17')} || '>'`,
  ],
  ['latitude', 'numeric', `round((47 + (i % 70000) / 10000.0)::numeric, 6)`],
  ['longitude', 'numeric', `round((6 + (i % 90000) / 10000.0)::numeric, 6)`],
  ['value', 'numeric', `round((i % 1000003)::numeric / 7, 3)`],
  ['measured', 'timestamp', `timestamp '2020-01-01' + i * interval '37.125 seconds'`],
  ['reported', 'timestamptz', `timestamptz '2020-01-01 00:00+00' + i * interval '41 seconds'`],
  ['day', 'date', `date '2000-01-01' + (i % 9000)::int`],
  ['valid', 'bool', `i % 3 = 0`],
  ['count', 'int4', `(i % 100000)::int`],
  ['total', 'int8', `i * 100003`],
  ['share', 'float8', `(i % 997) / 997.0::float8`],
  ['unit', 'text', `(ARRAY['mg/m³', 'µg', '°C', 'km'])[1 + i % 4]`],
  ['category', 'text', `'category ' || (i % 40)`],
  ['url', 'text', `'https://data.example/record/' || i`],
  ['empty', 'text', `CASE WHEN i % 10 = 0 THEN 'rare' END`],
  ['quality', 'int4', `(i % 5)::int`],
];

export const shapes: readonly Shape[] = [
  {
    name: 'narrow',
    meaning: '6 columns of numbers, dates and short text',
    rowBytes: 62,
    columns: typicalColumns.filter(([name]) =>
      ['code', 'value', 'measured', 'count', 'valid'].includes(name),
    ),
  },
  { name: 'typical', meaning: '20 mixed columns', rowBytes: 325, columns: typicalColumns },
  {
    name: 'wide',
    meaning: '120 columns, half of them numbers',
    rowBytes: 1180,
    columns: Array.from({ length: 119 }, (_, index) => wideColumn(index)),
  },
  {
    name: 'texty',
    meaning: 'cells of 2 KB of text with quotes and line ends',
    rowBytes: 2100,
    columns: [
      ['title', 'text', `'Title ' || i`],
      [
        'body',
        'text',
        `repeat('Some text with "quotes", commas, & marks' || chr(10) || ${word('3')} || ' ', 40)`,
      ],
    ],
  },
];

function wideColumn(index: number): Shape['columns'][number] {
  const name = `c${String(index + 1).padStart(3, '0')}`;
  if (index % 4 === 0) return [name, 'text', word(String(index + 3))];
  if (index % 4 === 1) return [name, 'int4', `((i * ${index + 1}) % 1000000)::int`];
  if (index % 4 === 2) return [name, 'numeric', `round((i % ${9973 + index})::numeric / 13, 4)`];
  return [name, 'text', `CASE WHEN i % ${index + 2} = 0 THEN NULL ELSE 'v' || (i % 1000) END`];
}

/** Create and fill `name` with about `megabytes` of CSV; returns its rows. */
export async function fillTable(
  owner: Client,
  name: string,
  shape: Shape,
  megabytes: number,
): Promise<number> {
  const rows = Math.max(1, Math.round((megabytes * 1_000_000) / shape.rowBytes));
  const table = `public.${quoteIdentifier(name)}`;
  const columns = shape.columns.map(([column, type]) => `${quoteIdentifier(column)} ${type}`);
  await owner.query(`DROP TABLE IF EXISTS ${table}`);
  await owner.query(
    `CREATE TABLE ${table} (_id serial PRIMARY KEY, _full_text tsvector, ${columns.join(', ')})`,
  );
  const names = shape.columns.map(([column]) => quoteIdentifier(column)).join(', ');
  const values = shape.columns.map(([, , value]) => value).join(', ');
  await owner.query(
    `INSERT INTO ${table} (${names}) SELECT ${values} FROM generate_series(1::int8, ${rows}) AS i`,
  );
  await owner.query(`VACUUM (FREEZE, ANALYZE) ${table}`);
  return rows;
}
