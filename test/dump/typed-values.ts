/** Types that a DataStore table may have beyond the common, and values at their edges, as Postgres reads them. */

/** Types of somebody's own: each way in which `to_json` treats one (Postgres manual, 9.16). */
export const ownTypes = `
  CREATE TYPE mood AS ENUM ('sad', 'say "ok", \\<&>', '');
  CREATE TYPE _list AS ENUM ('looks', 'like an array');
  CREATE TYPE place AS (street text, no int, at timestamp, "odd ""key" numeric);
  CREATE TYPE pair AS (a place, b text[]);
  CREATE TYPE span AS RANGE (subtype = date);
  CREATE DOMAIN postcode AS text CHECK (value <> 'no');
  CREATE DOMAIN short_code AS postcode;
  CREATE DOMAIN scores AS int[];
  CREATE DOMAIN spot AS place;
  CREATE DOMAIN amount AS numeric(12, 2);
  CREATE DOMAIN moment AS timestamptz;
  CREATE DOMAIN flag AS bool;
  CREATE DOMAIN doc AS jsonb;
  CREATE TYPE colour AS ENUM ('red', 'blue');
  CREATE FUNCTION colour_json(colour) RETURNS json LANGUAGE sql IMMUTABLE
    AS $$ SELECT json_build_object('colour', $1::text, 'n', 1.50) $$;
  CREATE CAST (colour AS json) WITH FUNCTION colour_json(colour);
`;

export interface TypedValues {
  readonly type: string;
  readonly values: readonly string[];
}

const list = (type: string, ...values: readonly string[]): TypedValues => ({ type, values });

const limits = ['0', '-0', '1', '-1', 'NaN', 'Infinity', '-Infinity', '1e-7', '1e15', '1e16', '123456.789'];
const instants = ['2020-02-29 23:59:59.999999', '0001-01-01 00:00:00', '12345-06-07 08:09:10.5'];
const past = ['0044-03-15 12:00:00 BC', 'infinity', '-infinity'];

export const typedValues: readonly TypedValues[] = [
  list('int2', '-32768', '32767'),
  list('int8', '-9223372036854775808', '9223372036854775807'),
  list('oid', '0', '4294967295'),
  list(
    'numeric',
    ...limits,
    '0.0',
    '-0.00',
    '1.10',
    '100',
    '1' + '0'.repeat(400),
    `0.${'0'.repeat(30)}1`,
    '12345678901234567890.5',
  ),
  list('numeric(10,2)', '0', '-0.01', '99999999.99'),
  list('float4', ...limits, '3.4028235e38', '1e-45'),
  list('float8', ...limits, '1.7976931348623157e308', '5e-324', '0.1', '1e22', '1e21', '100000'),
  list('money', '12.34', '-1234.5'),
  list('bool', 't', 'f'),
  list(
    'text',
    '',
    ' ',
    '\\.',
    '"',
    ',',
    'a\nb\r\n\tc',
    '\u0001\u001f\u007f\u0085',
    '😀\u{1ffff}\ufffe\uffff\ufeff',
    "it's",
  ),
  list('varchar(5)', 'abc', '     '),
  list('char(5)', 'abc', ''),
  list('"char"', 'x', '"', ','),
  list('name', 'a name', 'q"uote'),
  list('bytea', '\\xdeadbeef', ''),
  list('date', '2020-02-29', '0044-03-15 BC', '12345-06-07', 'infinity', '-infinity'),
  list('time', '04:05:06.789', '24:00:00'),
  list('timetz', '04:05:06+02', '23:59:59.999999-12:30:15'),
  list('interval', '1 year 2 mons -3 days 04:05:06.7', '-00:00:01', '0'),
  list('timestamptz', ...instants, ...past, '2020-01-01 00:00:00+05:30'),
  list(
    'json',
    '{"b": 1.0, "a": [1e5, -0], "b": 2}',
    ' "x" ',
    'null',
    '1e400',
    '"\\u00e9\\ud83d\\ude00"',
    '[]',
    '{"9": 1, "1": 2}',
  ),
  list('jsonb', '{"b": 1.0, "a": [1e5, -0]}', '"x"', 'null', '12345678901234567890.10'),
  list('jsonpath', '$."a"[*] ? (@ > 1)'),
  list('xml', '<a b="c">1 &lt; 2</a>', 'text'),
  list('uuid', 'c14875ee-72c7-5d3f-bf05-042ad7786f08'),
  list('inet', '192.168.0.1/24', '::1'),
  list('cidr', '10.0.0.0/8'),
  list('macaddr', '08:00:2b:01:02:03'),
  list('macaddr8', '08:00:2b:01:02:03:04:05'),
  list('bit(4)', '1010'),
  list('varbit', '', '101'),
  list('point', '(1.5,-2)'),
  list('box', '(1,1),(0,0)'),
  list('path', '[(0,0),(1,1)]'),
  list('polygon', '((0,0),(1,1),(1,0))'),
  list('circle', '<(0,0),1>'),
  list('line', '{1,2,3}'),
  list('lseg', '[(0,0),(1,1)]'),
  list('tsvector', "'a':1A 'quo''te':2"),
  list('tsquery', "'a' & !'b' <-> 'c d'"),
  list('pg_lsn', '16/B374D848'),
  list('xid8', '123'),
  list('txid_snapshot', '10:20:10,14'),
  list('regclass', 'pg_class'),
  list('int2vector', '', '1 2 3'),
  list('oidvector', '1 2'),
  list('int4range', '[1,5)', 'empty', '(,3)'),
  list('numrange', '[1.10,2.0]'),
  list('tstzrange', '["2020-01-01 00:00:00+00",)'),
  list('int4multirange', '{[1,3),[5,7)}', '{}'),
  list('span', '[2020-01-01,2020-02-01)'),
  list('mood', 'sad', 'say "ok", \\<&>', ''),
  list('_list', 'looks', 'like an array'),
  list('_list[]', '{looks,"like an array",NULL}'),
  list('mood[]', '{sad,"",NULL}'),
  list('colour', 'red'),
  list('colour[]', '{red,blue,NULL}'),
  list('place', '(,,,)', '("High ""St"", <1>",7,2020-01-01 10:00:00.5,1.10)', '("",0,infinity,NaN)'),
  list('place[]', '{"(a,1,,)",NULL}', '{}'),
  list('pair', '("(x,1,,)","{a,NULL}")', '(,)'),
  list('spot', '(x,1,,)'),
  list('postcode', 'yes', ''),
  list('short_code', 'yes'),
  list('scores', '{1,NULL,3}', '{}'),
  list('amount', '1', '-0.10'),
  list('moment', ...instants),
  list('flag', 't', 'f'),
  list('doc', '{"b": 1.50}'),
  list('postcode[]', '{a,"b c"}'),
  list('numeric[]', '{0,1.10,NaN,Infinity,1e-7,NULL}', '{{1,2},{3,4}}', '[5:6]={1,2}'),
  list('float8[]', '{-0,0.1,1e16,NaN,-Infinity}'),
  list('bool[]', '{t,f,NULL}'),
  list('timestamp[]', '{"2020-01-01 10:00:00.123456","0044-03-15 12:00:00 BC",infinity}'),
  list('timestamptz[]', '{"2020-01-01 10:00:00+05:30"}'),
  list('date[]', '{2020-02-29,infinity}'),
  list('money[]', '{$1.50,NULL}'),
  list('json[]', '{"{\\"a\\": 1.0}",null,"null"}'),
  list('jsonb[]', '{"{\\"a\\": 1.0}",null,"null"}'),
  list('text[]', '{"a","b\\"","NULL",NULL,""}', '{{a,b},{c,d}}'),
  list('int4range[]', '{"[1,5)"}'),
  list('uuid[]', '{c14875ee-72c7-5d3f-bf05-042ad7786f08}'),
  list('bytea[]', '{"\\\\xdead"}'),
];
