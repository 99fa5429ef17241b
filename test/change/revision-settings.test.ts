/** P4: a setting of the server, the database or the role by which values print otherwise makes another token. */
import pg from 'pg';
import { afterAll, beforeAll, expect, test } from 'vitest';
import { readColumns } from '../../src/postgres/catalogue.ts';
import { ckanProfile } from '../../src/ckan/profile.ts';
import { copyOut } from '../../src/dump/copy.ts';
import { createFormatter } from '../../src/dump/format/formatter.ts';
import { scanSettings, wholeTable } from '../../src/dump/selection.ts';
import { installTriggers, removeTriggers } from '../../src/change/journal.ts';
import { createPool } from '../../src/postgres/pool.ts';
import { allTables, lookUpTable, tableState } from '../../src/postgres/revision.ts';
import { asResourceId } from '../../src/postgres/table.ts';
import { freshDatabase, type Database } from '../world/postgres.ts';

const profile = ckanProfile('2.12');
const id = asResourceId('t-settings');
let database: Database;
let owner: pg.Client;
let pool: pg.Pool;
let client: pg.PoolClient;

beforeAll(async () => {
  database = await freshDatabase();
  owner = new pg.Client({ connectionString: database.writeUrl });
  await owner.connect();
  await owner.query(`CREATE TABLE public."${id}" (_id serial PRIMARY KEY, at timestamptz, during interval, small float4,
      large float8, raw bytea, price money, markup xml, day date, local timestamp, n numeric, words text[], ats timestamptz[]);
    INSERT INTO public."${id}" VALUES (1, now(), '1 year 2 days -03:04', 0.1, 1e22 / 7, '\\x00ff', 12.5, '<a>&amp;</a>',
      '2026-11-21', now(), 1.10, '{a,NULL}', ARRAY[now()])`);
  pool = createPool({
    url: database.readUrl,
    applicationName: 'dumper-test-settings',
    size: 1,
    onIdleError: () => undefined,
  });
  client = await pool.connect();
});
afterAll(async () => {
  client.release();
  await pool.end();
  await owner.end();
  await database.drop();
});

async function bytes(): Promise<string> {
  const chunks: Buffer[] = [];
  await client.query('BEGIN');
  for (const { name, value } of scanSettings)
    await client.query('SELECT set_config($1, $2, true)', [name, value]);
  const { copy, columns } = wholeTable(id, await readColumns(client, id));
  const formatter = createFormatter({ columns, formats: ['csv'], profile });
  await copyOut(client, copy, {
    onBytes: (chunk) => formatter.feed(chunk, (_format, written) => chunks.push(Buffer.from(written))),
    signal: new AbortController().signal,
    stallSeconds: 10,
  });
  await client.query('COMMIT');
  return Buffer.concat(chunks).toString();
}

/** However it is read, the token is the same. */
async function token(): Promise<string | undefined> {
  const tokens = [
    (await tableState(client, id))?.token,
    (await lookUpTable(client, id))?.token,
    (await allTables(client)).get(id)?.token,
  ];
  expect(new Set(tokens).size).toBe(1);
  return tokens[0];
}

const settings = [
  ['TimeZone', 'Asia/Kathmandu'],
  ['IntervalStyle', 'iso_8601'],
  ['extra_float_digits', '-3'],
  ['bytea_output', 'escape'],
  ['lc_monetary', 'POSIX'],
  ['DateStyle', 'German, DMY'],
  ['xmloption', 'document'],
  ['xmlbinary', 'hex'],
  ['quote_all_identifiers', 'on'],
  ['array_nulls', 'off'],
  ['standard_conforming_strings', 'off'],
  ['default_text_search_config', 'german'],
  ['search_path', 'pg_catalog'],
] as const;

test.each(['exact', 'read-only'] as const)('tier %s', async (tier) => {
  if (tier === 'exact') await installTriggers(owner, { readRole: 'datastore_default', lockSeconds: 5 });
  expect((await tableState(client, id))?.tier).toBe(tier);
  const [printed, known] = [await bytes(), await token()];
  const shaping: string[] = [];
  for (const [name, value] of settings) {
    await client.query(`SET ${name} = ${name === 'DateStyle' ? value : `'${value}'`}`);
    const changed = (await bytes()) !== printed;
    if (changed) shaping.push(name);
    if (changed) expect([name, (await token()) === known]).toEqual([name, false]);
    await client.query(`RESET ${name}`);
    expect([name, await token(), await bytes()]).toEqual([name, known, printed]);
  }
  expect(shaping).toEqual(['TimeZone', 'IntervalStyle', 'extra_float_digits', 'bytea_output']);
  await client.query(`SET lc_monetary = 'POSIX'`);
  expect(await token()).not.toBe(known);
  await client.query('RESET lc_monetary');
  if (tier === 'exact') await removeTriggers(owner, 5);
});
