/**
 * Promise P16: hostile questions, generated from a seed: parameters of CKAN with values that try to leave their place
 * (quotes, comments, casts, NUL, confusables, percent signs, nested JSON), beside values that are nearly right.
 */
import { formats } from '../../src/format.ts';

export type Random = () => number;

/** A small seeded generator (mulberry32): the same seed gives the same requests everywhere. */
export function seeded(seed: number): Random {
  let state = seed >>> 0;
  return () => {
    state = (state + 0x6d2b79f5) >>> 0;
    let mixed = Math.imul(state ^ (state >>> 15), state | 1);
    mixed ^= mixed + Math.imul(mixed ^ (mixed >>> 7), mixed | 61);
    return ((mixed ^ (mixed >>> 14)) >>> 0) / 4_294_967_296;
  };
}

function pick<Value>(random: Random, from: readonly Value[]): Value {
  return from[Math.floor(random() * from.length)] as Value;
}

const columns = [
  '_id',
  'name',
  'n',
  'ts',
  'tags',
  'doc',
  'we"ird',
  "quo'te",
  'a:b',
  '100%',
  '_full_text',
  'rank',
];

const splinters = [
  "'",
  '"',
  "''",
  '""',
  '`',
  '\\',
  "\\'",
  ';',
  '--',
  '/*',
  '*/',
  '#',
  '$$',
  '$1',
  '%',
  '%s',
  '%(x)s',
  '%%',
  '\0',
  '::text',
  '::regclass',
  ' OR 1=1',
  "' OR '1'='1",
  '; DROP TABLE canary; --',
  "'; DELETE FROM canary; --",
  ') TO STDOUT; DROP TABLE canary; --',
  'pg_sleep(5)',
  "');SELECT pg_sleep(5);--",
  '(SELECT 1)',
  'UNION SELECT * FROM canary',
  "current_setting('dumper.v1')",
  "set_config('x','y',false)",
  'dumper.v1',
  "E'\\x27'",
  'U&"\\0027"',
  '\u02bc',
  '\uff07',
  '\u201c',
  '\u2019',
  '\ud83d\ude00',
  '\u0000',
  '\u202e',
  '\ufeff',
  '\r\n',
  '\t',
  ' ',
  '',
  '1e400',
  'NaN',
  '-Infinity',
  '9'.repeat(40),
  'é',
  'null',
  'true',
];

function text(random: Random): string {
  const parts = Math.floor(random() * 4);
  let made = random() < 0.3 ? pick(random, columns) : '';
  for (let part = 0; part < parts; part += 1) made += pick(random, splinters);
  return made;
}

function value(random: Random, depth = 0): unknown {
  const kind = random();
  if (kind < 0.45) return text(random);
  if (kind < 0.6) return pick(random, [0, 1, -1, 1.5, 1e308, 2 ** 53, -0, 3]);
  if (kind < 0.7) return pick(random, [true, false, null]);
  if (depth > 2) return text(random);
  if (kind < 0.85) return Array.from({ length: Math.floor(random() * 4) }, () => value(random, depth + 1));
  return object(random, depth + 1);
}

const operators = [
  'gt',
  'gte',
  'lt',
  'lte',
  'eq',
  'in',
  '$or',
  '$and',
  '$nor',
  '$$name',
  'ne',
  'gt; --',
  '"',
];

function object(random: Random, depth: number): Record<string, unknown> {
  const entries = Array.from({ length: 1 + Math.floor(random() * 3) }, () => {
    const key = pick(random, [pick(random, columns), pick(random, operators), text(random)]);
    return [
      key,
      key === '$or' || key === '$and'
        ? [value(random, depth), object(random, Math.min(depth + 1, 3))].filter(Boolean)
        : value(random, depth),
    ];
  });
  return depth > 3 ? {} : (Object.fromEntries(entries) as Record<string, unknown>);
}

function json(random: Random): string {
  const made = JSON.stringify(random() < 0.85 ? object(random, 0) : value(random));
  return random() < 0.1 ? made + text(random) : made;
}

const generators: Readonly<Record<string, (random: Random) => string>> = {
  filters: json,
  q: (random) => (random() < 0.4 ? json(random) : text(random)),
  fields: (random) => names(random),
  sort: (random) =>
    names(random) + pick(random, ['', ' desc', ' asc nulls first', ' desc; --', text(random)]),
  language: (random) =>
    pick(random, [
      'english',
      'simple',
      'french',
      text(random),
      "simple'",
      'pg_catalog.english',
      '12',
      'a.b.c.d',
    ]),
  limit: (random) => pick(random, ['1', '0', '-1', '٣', '1_0', text(random), '9'.repeat(30)]),
  offset: (random) => pick(random, ['1', '0', '-1', text(random), '9'.repeat(19)]),
  format: (random) => pick(random, [...formats, text(random)]),
  distinct: (random) => pick(random, ['true', 'false', text(random)]),
  plain: (random) => pick(random, ['true', 'false', text(random)]),
  bom: (random) => pick(random, ['true', text(random)]),
  latest: () => 'true',
};

function names(random: Random): string {
  return Array.from({ length: 1 + Math.floor(random() * 3) }, () =>
    random() < 0.7 ? pick(random, columns) : text(random),
  ).join(',');
}

/** The request target of one hostile question; `tables` are names that exist. */
export function hostileTarget(random: Random, tables: readonly string[]): string {
  const name = random() < 0.9 ? pick(random, tables) : text(random);
  const parameters = Object.entries(generators)
    .filter(() => random() < 0.28)
    .map(([parameter, generate]) => `${parameter}=${encoded(generate(random), random)}`);
  return `/datastore/dump/${encoded(name, random) || '%20'}?${parameters.join('&')}`;
}

/** Percent-encoding, sometimes of everything, sometimes broken. */
function encoded(given: string, random: Random): string {
  const whole = encodeURIComponent(given.toWellFormed());
  const style = random();
  if (style < 0.03) return `${whole}%`;
  if (style < 0.06) return whole.replaceAll('%20', '+');
  if (style < 0.08)
    return [...Buffer.from(given)].map((byte) => `%${byte.toString(16).padStart(2, '0')}`).join('');
  return whole;
}
