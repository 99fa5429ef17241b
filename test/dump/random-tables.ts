/** Random tables for the formatter: columns of every kind, cells as Postgres prints them, hostile text first. */
import * as fc from 'fast-check';
import { postgresFloat, type Cell, type SlowColumn } from './oracle-formatter.ts';

export interface RandomTable {
  readonly columns: readonly SlowColumn[];
  readonly rows: readonly (readonly Cell[])[];
}

const awkward = [
  ...',"\\\n\r\t&<>\u0001\u001f\u007f\u0080é，。中\ufeff\ufffd\ufffe\uffff\ue000😀\u{1ffff}',
  '""',
  '\\.',
  'null',
  'plain',
];
export const text = fc.oneof(
  fc.array(fc.constantFrom(...awkward), { maxLength: 60 }).map((parts) => parts.join('')),
  fc.string({ unit: 'grapheme', maxLength: 40 }),
  fc.string({ unit: 'binary', maxLength: 20 }).map((value) => value.replaceAll('\0', '').toWellFormed()),
  fc.constantFrom('', '\\.', ' ', 'NULL', 'None', '"', '""'),
);

const digits = (least: number, most: number): fc.Arbitrary<string> =>
  fc
    .array(fc.constantFrom(...'0012345679'), { minLength: least, maxLength: most })
    .map((all) => all.join(''));
const numeric = fc.oneof(
  fc.tuple(fc.constantFrom('', '-'), digits(1, 20), digits(0, 22)).map(([sign, whole, fraction]) => {
    const plain = whole.replace(/^0+(?=.)/, '') + (fraction ? `.${fraction}` : '');
    return /[1-9]/.test(plain) ? sign + plain : plain;
  }),
  fc.constantFrom(
    '0.000',
    '0.0001',
    '0.00010000',
    '0.00009999',
    '-0.00001',
    '1.10',
    'NaN',
    'Infinity',
    '-Infinity',
    '100',
  ),
);
const float = fc.oneof(
  fc.double().map(postgresFloat),
  fc.integer({ min: -1_000_000, max: 1_000_000 }).map((n) => postgresFloat(n / 1000)),
  fc
    .tuple(fc.integer({ min: 1, max: 999_999 }), fc.integer({ min: -320, max: 300 }))
    .map(([n, e]) => postgresFloat(Number(`${n}e${e}`))),
);

const two = (most: number): fc.Arbitrary<string> =>
  fc.integer({ min: 1, max: most }).map((n) => String(n).padStart(2, '0'));
const instant = fc
  .tuple(
    fc.oneof(fc.integer({ min: 1, max: 9999 }), fc.integer({ min: 1, max: 294_275 })),
    two(12),
    two(28),
    two(23),
    two(59),
    fc.constantFrom('', '.1', '.12', '.123', '.1239', '.999999', '.000001'),
  )
  .map(
    ([year, month, day, hour, minute, fraction]) =>
      `${String(year).padStart(4, '0')}-${month}-${day} ${hour}:${minute}:07${fraction}`,
  );
const infinities = fc.constantFrom('infinity', '-infinity');
const era = fc.constantFrom('', '', '', ' BC');
const timestamp = fc.oneof(
  { weight: 9, arbitrary: fc.tuple(instant, era).map((parts) => parts.join('')) },
  infinities,
);
const offset = fc.constantFrom('+00', '-08', '+05:30', '-12:30', '+05:53:28');
const timestamptz = fc.oneof(
  { weight: 9, arbitrary: fc.tuple(instant, offset, era).map((parts) => parts.join('')) },
  infinities,
);

const jsonLeaf = fc.oneof(
  text,
  fc.constantFrom<unknown>(null, true, false, 0, -1, 1.5, 1e-7, 1e300, 123456789012),
);
const { json } = fc.letrec<{ json: unknown }>((tie) => ({
  json: fc.oneof(
    { maxDepth: 4 },
    jsonLeaf,
    fc.array(tie('json'), { maxLength: 4 }),
    fc.dictionary(fc.oneof(text, fc.constantFrom('1', '0', 'a', '__proto__')), tie('json'), { maxKeys: 4 }),
  ),
}));
const jsonText = fc
  .tuple(json, fc.constantFrom<string | number>('', 1, '\t'))
  .map(([value, indent]) =>
    JSON.stringify(value, null, indent).replaceAll('é', '\\u00e9').replaceAll('1e+300', '1.0E300'),
  );
const arrayText = fc.array(fc.option(text), { maxLength: 4 }).map((items) => JSON.stringify(items));

export const cells: Readonly<Record<string, fc.Arbitrary<string>>> = {
  text,
  int4: fc.integer().map(String),
  int8: fc.bigInt({ min: -(2n ** 63n), max: 2n ** 63n - 1n }).map(String),
  numeric,
  float8: float,
  bool: fc.constantFrom('t', 'f'),
  timestamp,
  timestamptz,
  date: fc.tuple(instant, era).map(([value, bc]) => value.slice(0, -9).replace(/ .*/, '') + bc),
  jsonb: jsonText,
  json: jsonText,
  _text: arrayText,
};

/** Tables with and without `_id` in front; names are plain, for `xmlNames` is another's test. */
export const randomTable: fc.Arbitrary<RandomTable> = fc
  .tuple(
    fc.constantFrom(null, 'int4', 'text'),
    fc.array(fc.constantFrom(...Object.keys(cells)), { maxLength: 7 }),
  )
  .chain(([idType, types]) => {
    const columns: SlowColumn[] = types.map((type, i) => ({ name: `c${i}`, type }));
    if (idType !== null || columns.length === 0) columns.unshift({ name: '_id', type: idType ?? 'int4' });
    const row = fc.tuple(...columns.map(({ type }) => fc.option(cells[type] ?? text, { freq: 6 })));
    return fc.array(row, { maxLength: 6 }).map((rows) => ({ columns, rows }));
  });
