/** The tables that the formatter is measured on: what open data looks like, and its extremes. */

type MakeTable = (name: string, rows: number) => string;

const words = `(ARRAY['alpha','bravo','charlie','delta, echo','foxtrot "golf"','hôtel','india','juliet'])`;

const typicalColumns = `
  (ARRAY['North','South','East','West'])[1 + n % 4] AS region,
  'Site ' || n % 5000 AS site,
  ${words}[1 + n % 8] || ' ' || ${words}[1 + n % 7] AS remark,
  timestamp '2020-01-01' + n * interval '61.337 seconds' AS measured_at,
  date '2020-01-01' + n % 3000 AS day,
  n % 2 = 0 AS valid,
  n % 97 AS count1, n * 7 AS count2, n::int8 * 1000003 AS big,
  (n % 100000)::numeric / 100 AS amount, round(n::numeric / 7, 4) AS share,
  round((n % 18000) / 100.0 - 90, 5)::float8 AS lat, round((n % 36000) / 100.0 - 180, 5)::float8 AS lon,
  CASE WHEN n % 3 = 0 THEN NULL ELSE n % 10 END AS grade,
  CASE WHEN n % 5 = 0 THEN NULL ELSE md5(n::text) END AS code,
  'https://example.org/item/' || n AS link,
  md5((n / 10)::text) AS owner,
  CASE WHEN n % 50 = 0 THEN 'A & B <c> ' || n ELSE 'plain ' || n END AS title,
  n % 1000 / 10.0 AS percent`;

export const kernelTables: Readonly<Record<string, MakeTable>> = {
  narrow: (name, rows) => `CREATE TABLE ${name} AS SELECT n::int4 AS _id, 'Name ' || n AS name, n % 1000 AS k,
    round(n / 3.0, 2) AS v, timestamp '2020-01-01' + n * interval '1 second' AS t, md5(n::text) AS h
    FROM generate_series(1, ${rows}) n`,
  typical: (name, rows) =>
    `CREATE TABLE ${name} AS SELECT n::int4 AS _id, ${typicalColumns} FROM generate_series(1, ${rows}) n`,
  wide: (name, rows) => {
    const columns = Array.from({ length: 24 }, (_, i) =>
      [
        `n % ${i + 2} AS i${i}`,
        `round(n / ${i + 2}.0, 3) AS n${i}`,
        `'t' || n % ${i + 9} AS t${i}`,
        `n % ${i + 2} = 0 AS b${i}`,
        `NULLIF(n % ${i + 3}, 0) AS z${i}`,
      ].join(', '),
    );
    return `CREATE TABLE ${name} AS SELECT n::int4 AS _id, ${columns.join(', ')} FROM generate_series(1, ${Math.ceil(rows / 5)}) n`;
  },
  texty: (
    name,
    rows,
  ) => `CREATE TABLE ${name} AS SELECT n::int4 AS _id, repeat('Some words of a long text, and more. ', 54) AS body,
    repeat('He said "no" & left. ', 20) AS quoted FROM generate_series(1, ${Math.ceil(rows / 5)}) n`,
  floats: (
    name,
    rows,
  ) => `CREATE TABLE ${name} AS SELECT n::int4 AS _id, sin(n) AS a, cos(n) * 1000 AS b, exp(n % 100) AS c,
    n::numeric / 7 AS d FROM generate_series(1, ${rows}) n`,
  nested: (
    name,
    rows,
  ) => `CREATE TABLE ${name} AS SELECT n::int4 AS _id, jsonb_build_object('name', 'N' || n, 'v', n / 4.0, 'ok', true) AS doc,
    ARRAY['a' || n, 'b,c', 'd'] AS tags FROM generate_series(1, ${rows}) n`,
};
