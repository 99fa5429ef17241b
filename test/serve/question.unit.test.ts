/** Promise P22: questions are read by CKAN's rules; promise P16: what is not understood is refused by name. */
import { describe, expect, test } from 'vitest';
import { parseRange } from '../../src/serve/blob-response.ts';
import { ckanProfile } from '../../src/ckan/profile.ts';
import { parsePythonJson, writePythonJson, type PythonJson } from '../../src/python-json.ts';
import { encodingFor } from '../../src/serve/response-writer.ts';
import { planLive } from '../../src/serve/question/plan.ts';
import { parseQuestion, parseQueryString } from '../../src/serve/question/parse.ts';
import { parseInteger, pythonString } from '../../src/serve/question/python-text.ts';
import { readSort } from '../../src/serve/question/sorting.ts';
import { isWholeTable } from '../../src/serve/question/whole-table.ts';
import type { AskedTable, LivePlan, Question } from '../../src/serve/question/question.ts';
import { formats } from '../../src/format.ts';
import { asResourceId, quoteIdentifier } from '../../src/postgres/table.ts';

const column = (name: string, type: string) => ({
  name,
  type,
  baseType: type,
  castType: quoteIdentifier(type),
  json: 'plain' as const,
  comment: null,
});
const table = {
  id: asResourceId('t'),
  columns: [
    column('_id', 'int4'),
    column('_full_text', 'tsvector'),
    column('a', 'text'),
    column('b', 'int4'),
  ],
};

function asked(query: string): Question {
  const question = parseQuestion(query);
  if (question.kind === 'refused') throw new Error(question.message);
  return question;
}

function parsed(text: string): PythonJson {
  const value = parsePythonJson(text);
  if (value === undefined) throw new Error(`no JSON: ${text}`);
  return value;
}

describe('P22: texts and numbers are Python’s', () => {
  test.each([
    [' 5 ', 5n],
    ['+5', 5n],
    ['-0', 0n],
    ['05', 5n],
    ['1_0', 10n],
    ['５', 5n],
    ['٣𝟛', 33n],
    ['1__0', null],
    ['_1', null],
    ['0x10', null],
    ['1.5', null],
    ['\ufeff5', null],
    ['', null],
  ])('int(%j) is %s', (text, number) => expect(parseInteger(text)).toBe(number));

  test.each([
    ['1.0', '1.0'],
    ['1e400', '"Infinity"'],
    ['0.0000001', '1e-07'],
    ['123456789012345678901234567890', '123456789012345678901234567890'],
    ['[1, {"b": 1, "1": -0.0}]', '[1,{"b":1,"1":-0.0}]'],
    ['1e16', '1e+16'],
    ['{"a": 1, "b": 2, "a": 3}', '{"a":3,"b":2}'],
  ])('JSON %s prints as %s', (text, printed) => expect(writePythonJson(parsed(text))).toBe(printed));

  test.each(['"a\\\\"', '"\\"\\\\\\""', '["\\\\", "\\u00e9"]'])(
    'JSON %s is read as JSON.parse reads it',
    (text) => expect(parsePythonJson(text)).toEqual(JSON.parse(text)),
  );

  test('a text of any length is read', () => {
    const text = 'long '.repeat(4_000_000);
    expect(parsePythonJson(`["${text}"]`)).toEqual([text]);
    expect(parsePythonJson(`["${text}`)).toBeUndefined();
  });

  test.each(['', '{', '[1,]', '01', '"\n"', '"\\"', '"\\x"', '"\\u12"', "{'a':1}", '{"a":1}x', '\ufeff1'])(
    '%j is no JSON',
    (text) => expect(parsePythonJson(text)).toBeUndefined(),
  );

  test.each([
    ['null', 'None'],
    ['true', 'True'],
    ['NaN', 'nan'],
    ['{"in": ["a", "it\'s", "q\\""]}', `{'in': ['a', "it's", 'q"']}`],
    ['["\\u0001\\u00e9\\u200b"]', `['\\x01é\\u200b']`],
  ])('str of %s is %s', (text, printed) => expect(pythonString(parsed(text))).toBe(printed));

  test('of a repeated parameter the first counts, and bad bytes become U+FFFD', () => {
    expect([...parseQueryString('a=1&a=2&&b&c=%zz&d=%ff+x&=y#e=1')]).toEqual([
      ['a', '1'],
      ['b', ''],
      ['c', '%zz'],
      ['d', '\ufffd x'],
      ['', 'y'],
    ]);
  });
});

describe('P22: a whole table is known however it is spelled', () => {
  test.each([
    '',
    'format=csv&bom=True',
    'sort=_id',
    'sort=_id+asc',
    'sort="_id"+ASC+nulls+last',
    'offset=0',
    'offset=',
    'limit=',
    'filters={}',
    'filters=null',
    'q=',
    'q={}',
    'language=french',
    'fields=_id,a,b',
    'distinct=false',
    'unknown=1',
    'limit=10',
  ])('%s', (query) => {
    expect(isWholeTable(asked(query), { ...table, rows: 10 })).toBe(true);
  });

  test.each([
    'sort=_id+desc',
    'sort=a',
    'offset=1',
    'q=x',
    'fields=a',
    'fields=',
    'distinct=true',
    'filters={"a":1}',
    'limit=9',
    'limit=0',
    'limit=-1',
  ])('not %s', (query) => expect(isWholeTable(asked(query), { ...table, rows: 10 })).toBe(false));
});

describe('P16: what is asked wrongly is refused with the name of its parameter', () => {
  test.each([
    [
      'limit=x&offset=y&filters={',
      'filters: Cannot parse JSON\nlimit: Invalid integer\noffset: Invalid integer',
    ],
    ['format=CSV', "format: Value must be one of ('csv', 'tsv', 'json', 'xml')"],
    ['format=NDJSON', "format: Value must be one of ('csv', 'tsv', 'json', 'xml')"],
  ])('%s', (query, message) =>
    expect(parseQuestion(query)).toMatchObject({ kind: 'refused', status: 400, message }),
  );

  test.each([
    ['limit=-1', 'limit'],
    ['offset=9223372036854775808', 'offset'],
    ['fields=nope', 'fields'],
    ['fields=_full_text', 'fields'],
    ['sort=nope', 'sort'],
    ['sort=a,,b', 'sort'],
    ['filters={"nope":1}', 'filters'],
    ['filters={"a":"\\u0000"}', 'filters'],
    ['filters={"a":"\\ud800"}', 'filters'],
    ['filters=[]', 'filters'],
    ['filters=5', 'filters'],
    ['filters={"$or":[]}', 'filters'],
    ['q={"nope":"x"}', 'q'],
    ['q={"a":5}', 'q'],
    ['q=x&language=12', 'language'],
  ])('%s', (query, parameter) => {
    const plan = planLive(asked(query), table, ckanProfile('2.12'), { ftsLanguage: 'english' });
    expect(plan).toMatchObject({ kind: 'refused', status: 400 });
    expect('message' in plan && plan.message.startsWith(`${parameter}: `)).toBe(true);
  });

  test('a plan holds no text of the request', () => {
    const query =
      'filters={"a":"mark1","b":{"in":["mark2"]}}&q=mark3&language=mark4&limit=77777&offset=88888&sort=b+desc';
    const plan = planLive(asked(query), table, ckanProfile('2.12'), { ftsLanguage: 'english' });
    if (plan.kind === 'refused') throw new Error(plan.message);
    expect(`${plan.copy} ${plan.probe}`).not.toMatch(/mark|77777|88888/);
    expect(plan.settings.map(({ value }) => value)).toEqual([
      'mark4',
      'mark3',
      'mark1',
      'mark2',
      '77777',
      '88888',
    ]);
  });
});

test.each([
  ['2.11', 'sort=_id', 'NULL'],
  ['2.11', 'sort=b', 'NULL'],
  ['2.12', 'sort=_id', ':b'],
  ['2.12', 'sort="_id" desc', ':b'],
  ['2.12', 'sort=b', 'NULL'],
  ['2.12', 'sort=_id,b', 'NULL'],
] as const)('P22: CKAN %s with %s looks for :b as %s', (version, sort, word) => {
  const plan = planLive(asked(`q=a :b&${sort}`), table, ckanProfile(version), { ftsLanguage: 'english' });
  if (plan.kind === 'refused') throw new Error(plan.message);
  expect(plan.settings.map(({ value }) => value)).toEqual(['english', `a ${word}`]);
});

test('many values of one type are one setting and one probe, on any number of them', () => {
  const values = Array.from({ length: 5000 }, (_, index) => `v${index}`);
  const query = `filters=${encodeURIComponent(JSON.stringify({ a: values, b: values.map((_, index) => index) }))}`;
  const plan = planLive(asked(query), table, ckanProfile('2.11'), { ftsLanguage: 'english' });
  if (plan.kind === 'refused') throw new Error(plan.message);
  expect(plan.settings).toHaveLength(2);
  expect(`${plan.copy} ${plan.probe}`.length).toBeLessThan(1000);
});

function planned(query: string, of: AskedTable = table, version: '2.11' | '2.12' = '2.12'): LivePlan {
  const plan = planLive(asked(query), of, ckanProfile(version), { ftsLanguage: 'english' });
  if (plan.kind === 'refused') throw new Error(plan.message);
  return plan;
}

function refusalOf(query: string, of: AskedTable = table): string {
  const plan = planLive(asked(query), of, ckanProfile('2.11'), { ftsLanguage: 'english' });
  return plan.kind === 'refused' ? plan.message : 'planned';
}

/** A table of `count` columns more, with names as long as Postgres holds where they are filled up. */
function wide(count: number, filling = ''): AskedTable {
  const names = Array.from({ length: count }, (_, index) =>
    filling === '' ? `c${index}` : `c${index}`.padEnd(63, filling),
  );
  return { ...table, columns: [...table.columns, ...names.map((name) => column(name, 'int4'))] };
}

const namesOf = (of: AskedTable): string[] => of.columns.slice(4).map(({ name }) => name);
const listed = (names: readonly string[]): string => encodeURIComponent(names.join(','));
const asJson = (value: unknown): string => encodeURIComponent(JSON.stringify(value));

describe('P22: a rank that is called like a column of the table', () => {
  const info = '{"_info":{"label":"Place"}}';
  const ranked = {
    ...table,
    columns: [
      ...table.columns.slice(0, 2),
      { ...column('rank', 'text'), comment: info },
      column('rank a', 'text'),
      ...table.columns.slice(2),
    ],
  };

  test.each(['2.11', '2.12'] as const)('CKAN %s shows it once, in the place of the column', (version) => {
    for (const format of formats) {
      const whole = planned(`format=${format}&q=x`, ranked, version);
      expect(whole.columns.map(({ name }) => name)).toEqual(['_id', 'rank', 'rank a', 'a', 'b']);
      expect(whole.copy).toContain(
        `SELECT d."_id", ts_rank(d."_full_text", s.query0, 32), d."rank a", d."a"`,
      );
      expect(writePythonJson(new Map(Object.entries(whole.head[1]?.field ?? {})))).toBe(
        '{"id":"rank","type":"float","info":{"label":"Place"}}',
      );
      const one = planned(`format=${format}&q={"a":"x"}&fields=rank a,rank`, ranked, version);
      expect(one.copy).toMatch(/^COPY \(SELECT ts_rank\(to_tsvector\(.*\), s\.query0, 32\), d\."rank" FROM/);
      expect(one.columns.map(({ type }) => type)).toEqual(['float4', 'text']);
    }
  });

  test('conditions and order are of the column, and distinct rows are of the rank', () => {
    const { copy } = planned('q=x&sort=rank&filters={"rank":"y"}', ranked);
    expect(copy).toContain('ORDER BY d."rank" ASC');
    expect(copy).toContain('d."rank" = current_setting');
    expect(planned('q=x&sort=rank&distinct=true&fields=rank', ranked).copy).toMatch(
      /GROUP BY ts_rank\(.*\) ORDER BY ts_rank\(.*\) ASC NULLS LAST, min\(d\._id\)\)/,
    );
  });

  test('a searched column that is called like a rank is a number to CKAN, which asks the whole row too', () => {
    const both = planned('q={"a":"x","rank a":"y"}', ranked, '2.12').copy;
    expect(both.split('d."_full_text" @@ s.query1')).toHaveLength(2);
  });
});

describe('P16: the statement grows with the table, not with what is asked of it', () => {
  const spellings = ['b', '"b" desc', 'b ASC nulls First', '"b" NULLS LAST'];

  test.each(['sort=', 'distinct=true&sort=', 'distinct=true&fields=a&sort='])(
    '%s: a repeated key',
    (query) => {
      const again = listed(Array.from({ length: 8000 }, (_, index) => spellings[index % 4] ?? ''));
      expect(planned(query + again).copy).toBe(planned(`${query}b`).copy);
    },
  );

  test.each(['', '&fields=a', '&fields='])('distinct, %j: each column is ordered by once', (fields) => {
    const length = (count: number): number => {
      const of = wide(count);
      return planned(`distinct=true${fields}&sort=${listed(namesOf(of))}`, of).copy.length;
    };
    const [some, twice] = [length(750), length(1500)];
    expect(twice).toBeLessThan(2.1 * some);
    expect(twice).toBeLessThan(150_000);
  });

  test('of rows made one, the place of the first decides, by a name that the table does not have', () => {
    const of = { ...table, columns: [...table.columns, column('place', 'int4'), column('place_', 'int4')] };
    const { copy } = planned('distinct=true&fields=a&sort=place,b desc', of);
    expect(copy.match(/\bplace__\b/g)).toHaveLength(2);
    expect(copy).toContain(
      'row_number() OVER (ORDER BY d."place" ASC NULLS LAST, d."b" DESC NULLS FIRST, d._id) AS place__',
    );
    expect(copy).toContain('GROUP BY d."a" ORDER BY min(d.place__)');
  });

  test.each([
    ['a number column', 'b', [1, 2.5, 3e9, 1e30, '7', null]],
    ['a text column', 'a', [1, 2.5, 'x', true, null, { x: [1] }]],
  ])('a list of several types on %s is one setting and one comparison', (_, name, items) => {
    const many = Array.from({ length: 5000 }, (_item, index) =>
      typeof items[index % items.length] === 'number' ? index + 0.5 : items[index % items.length],
    );
    const plan = planned(`filters=${asJson({ [name]: [...items, ...many] })}`, table, '2.11');
    expect(plan.settings).toHaveLength(1);
    expect(`${plan.copy} ${plan.probe}`.length).toBeLessThan(600);
  });

  test.each([
    ['int4', [1, 2], 'int4'],
    ['int4', [1, 3e9 + 0.5], 'numeric'],
    ['int2', [1, 70000, '5'], 'int4'],
    ['int8', ['1', '2'], 'int8'],
    ['float4', [0.1, 0.2], 'float4'],
    ['float8', [1, 2.5], 'float8'],
    ['numeric', [1, 2], 'numeric'],
  ])('a list on %s is compared as Postgres compares constants', (type, items, common) => {
    const of = { ...table, columns: [...table.columns, column('x', type)] };
    const { copy } = planned(`filters=${asJson({ x: items })}`, of);
    expect(copy).toContain(
      `d."x" = ANY ((SELECT current_setting('dumper.v1')::text[]::${common}[])::${common}[])`,
    );
  });

  test('what would be too much is refused by name, before it is made', () => {
    const of = wide(1500);
    const names = namesOf(of);
    const each = (value: unknown): string => asJson(Object.fromEntries(names.map((name) => [name, value])));
    expect(refusalOf(`filters=${each(1)}`, of)).toBe('filters: more values than one question may hold');
    expect(refusalOf(`q=${each('x')}&fields=a`, of)).toBe('q: more values than one question may hold');
    expect(refusalOf(`fields=${listed(Array(102).fill('a'))}`)).toBe(
      'fields: columns are named again too often',
    );
    expect(refusalOf(`fields=${listed(Array(101).fill('a'))}`)).toBe('planned');
    expect(refusalOf(`fields=${listed(Array(1665).fill('a'))}`)).toBe('fields: too many columns');
    const [long, longest] = [wide(1590, 'x'), wide(1590, '"')];
    expect(refusalOf(`distinct=true&sort=${listed(namesOf(long))}`, long)).toBe('planned');
    expect(refusalOf(`distinct=true&sort=${listed(namesOf(longest))}`, longest)).toBe(
      'sort: too much for one question',
    );
    expect(refusalOf('', longest)).toBe('planned');
  });
});

test('a long run of blanks or quotes inside a text costs no more than its length', () => {
  const run = (character: string): string => character.repeat(60_000);
  const started = performance.now();
  expect(parseQuestion(`limit=1${run('+')}2`)).toMatchObject({ kind: 'refused', status: 400 });
  expect(asked(`fields="a${run('"')}b"`).fields).toEqual([`a${run('"')}b`]);
  expect(readSort(`a${run(' ')}b`)).toMatchObject([{ name: `a${run(' ')}b`, descending: false }]);
  expect(readSort('a   desc nulls  last')).toEqual([{ name: 'a', descending: true, nulls: 'last' }]);
  expect(parseRange(`bytes=${run(' ')}x`, 10)).toEqual({ kind: 'whole' });
  expect(encodingFor(`a${run(' ')}b, gzip`)).toBe('gzip');
  // Reading them by pairs of characters would take minutes.
  expect(performance.now() - started).toBeLessThan(10_000);
});
