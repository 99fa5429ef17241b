/**
 * Every type of Postgres in every format: the text of CSV and TSV is the value's own, the others' that of `to_json`, which
 * Postgres itself is asked for (promise P22), on the oldest and the newest server at hand (promise P23).
 */
import { Client, Pool } from 'pg';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { readColumns } from '../../src/postgres/catalogue.ts';
import { ckanProfile } from '../../src/ckan/profile.ts';
import { copyOut } from '../../src/dump/copy.ts';
import { createFormatter } from '../../src/dump/format/formatter.ts';
import { wholeTable } from '../../src/dump/selection.ts';
import { formats, formatTable, type Format } from '../../src/format.ts';
import { asResourceId } from '../../src/postgres/table.ts';
import { freshDatabase, startPostgres, type Database, type PostgresServer } from '../world/postgres.ts';
import { forEachFormat, slowRows, type Cell } from './oracle-formatter.ts';
import { typedValues, ownTypes } from './typed-values.ts';

const profile = ckanProfile('2.12');
const id = asResourceId('typed');

/** The rows of a table as the product writes them, in each format. */
async function written(pool: Pool): Promise<Record<Format, string>> {
  const client = await pool.connect();
  try {
    const { copy, columns } = wholeTable(id, await readColumns(client, id));
    const formatter = createFormatter({ columns, formats, profile });
    const parts = forEachFormat((): Buffer[] => []);
    await copyOut(client, copy, {
      onBytes: (chunk) => formatter.feed(chunk, (format, bytes) => parts[format].push(Buffer.from(bytes))),
      signal: AbortSignal.timeout(60_000),
      stallSeconds: 30,
    });
    return forEachFormat((format) => Buffer.concat(parts[format]).toString());
  } finally {
    client.release(true);
  }
}

/** What Postgres says of the same rows: the text of each cell (an array's is its JSON), and its JSON. */
async function told(
  owner: Client,
  type: string,
): Promise<{ readonly texts: Cell[][]; readonly jsons: Cell[][] }> {
  const isArray = type.endsWith('[]') || type === 'scores';
  const { rows } = await owner.query<{ id: string; text: Cell; json: Cell }>(
    `SELECT _id::text AS id, to_json(v)::text AS json,
            CASE WHEN ${isArray} THEN coalesce(to_json(v)::text, 'null')
                 WHEN num_nonnulls(v) = 1 THEN format('%s', v) END AS text
     FROM typed ORDER BY _id`,
  );
  return { texts: rows.map((row) => [row.id, row.text]), jsons: rows.map((row) => [row.id, row.json]) };
}

const asJson = [
  { name: '_id', type: 'int4' },
  { name: 'v', type: 'json' },
];
const asText = [
  { name: '_id', type: 'int4' },
  { name: 'v', type: 'text' },
];

describe.each([15, 18] as const)('P22, P23: on Postgres %s', (version) => {
  let server: PostgresServer | null = null;
  let database: Database;
  let owner: Client;
  let pool: Pool;

  beforeAll(async () => {
    server = version === 18 ? await startPostgres({ version }) : null;
    database = await freshDatabase(server === null ? {} : { server: server.adminUrl });
    owner = new Client({ connectionString: database.adminUrl });
    await owner.connect();
    await owner.query(ownTypes);
    pool = new Pool({ connectionString: database.readUrl, max: 1 });
  });

  afterAll(async () => {
    await pool.end();
    await owner.end();
    await database.drop();
    await server?.stop();
  });

  test.each(typedValues)('$type', async ({ type, values }) => {
    await owner.query(`DROP TABLE IF EXISTS typed; CREATE TABLE typed (_id serial, v ${type})`);
    for (const value of [null, ...values]) await owner.query('INSERT INTO typed (v) VALUES ($1)', [value]);
    await owner.query('GRANT SELECT ON typed TO datastore_default');
    const { texts, jsons } = await told(owner, type);
    const given = await written(pool);
    for (const format of formats) {
      const [columns, rows] = formatTable[format].values === 'text' ? [asText, texts] : [asJson, jsons];
      expect(given[format]).toBe(slowRows(format, columns, rows, profile));
    }
  });
});
