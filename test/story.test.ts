/**
 * The whole story on real parts: a table changes, its dumps are published, a dump is asked for. In the exact tier every
 * way to change a table makes the blob stale at once, and after the quiet time a new one is fresh (promise P4).
 */
import http from 'node:http';
import { Client } from 'pg';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { formats } from '../src/format.ts';
import { serviceFixture, type ServiceFixture } from './world/service.ts';
import { eventually } from './world/eventually.ts';
import { startS3 } from './world/s3.ts';

interface Answer {
  readonly status: number;
  readonly headers: http.IncomingHttpHeaders;
  readonly body: string;
}

const table = 'd0b7f1a4-story';
const quoted = `public."${table}"`;

async function get(url: string, method = 'GET'): Promise<Answer> {
  const response = await new Promise<http.IncomingMessage>((resolve, reject) => {
    http.request(url, { method, agent: false }, resolve).on('error', reject).end();
  });
  const chunks: Buffer[] = [];
  for await (const chunk of response as AsyncIterable<Buffer>) chunks.push(chunk);
  return {
    status: response.statusCode ?? 0,
    headers: response.headers,
    body: Buffer.concat(chunks).toString(),
  };
}

const s3 = await startS3();
const stores = 'skipped' in s3 ? (['directory'] as const) : (['directory', 's3'] as const);

describe.each(stores)('the story with a %s store', (kind) => {
  let world: ServiceFixture;
  let owner: Client;
  let base: string;

  beforeAll(async () => {
    world = await serviceFixture();
    owner = new Client({ connectionString: world.database.writeUrl });
    await owner.connect();
    world.atEnd(() => owner.end());
    await createTable();
    ({ base } = await world.start(
      kind === 's3' && !('skipped' in s3)
        ? { ...s3.environment, DUMPER_BLOB_STORE: `s3://${await s3.createBucket()}/dumps` }
        : {},
    ));
  });

  afterAll(async () => {
    await world?.end();
    if (kind === 's3' && !('skipped' in s3)) await s3.stop();
  });

  async function createTable(): Promise<void> {
    await owner.query(`CREATE TABLE ${quoted} (_id serial PRIMARY KEY, _full_text tsvector, name text, n numeric);
      INSERT INTO ${quoted} (name, n) SELECT 'row ' || i, i / 4.0 FROM generate_series(1, 100) i`);
  }

  const dump = `/datastore/dump/${table}`;

  async function untilFresh(): Promise<Answer> {
    return eventually(
      'the blob is fresh',
      async () => {
        const answer = await get(`${base}${dump}`);
        return answer.headers['x-dump-source'] === 'blob' ? answer : null;
      },
      { seconds: 25 },
    );
  }

  async function download(query = ''): Promise<string> {
    const answer = await get(`${base}${dump}${query}`);
    if (answer.status !== 302) return answer.body;
    const target = new URL(String(answer.headers.location), base).href;
    return (await get(target)).body;
  }

  test('a new table is published and redirected to; HEAD answers itself', async () => {
    const answer = await untilFresh();
    expect(answer.status).toBe(302);
    const csv = await download();
    expect(csv.split('\n')).toHaveLength(102);
    const head = await get(`${base}${dump}`, 'HEAD');
    expect(head.status).toBe(200);
    expect(head.headers['content-length']).toBe(String(Buffer.byteLength(csv)));
  });

  test('P22 a blob equals the live answer of its revision, in every format', async () => {
    await untilFresh();
    for (const format of formats) {
      for (const bom of ['', '&bom=true']) {
        const live = await get(`${base}${dump}?format=${format}${bom}&latest=true`);
        expect(live.headers['x-dump-source']).toBe('live');
        expect(await download(`?format=${format}${bom}`)).toBe(live.body);
      }
    }
  });

  const changes: readonly (readonly [string, string])[] = [
    ['UPDATE', `UPDATE ${quoted} SET name = 'changed' WHERE _id = 3`],
    ['INSERT', `INSERT INTO ${quoted} (name) VALUES ('inserted')`],
    ['DELETE', `DELETE FROM ${quoted} WHERE _id = 4`],
    ['TRUNCATE', `TRUNCATE ${quoted} RESTART IDENTITY`],
    [
      'COPY after TRUNCATE',
      `INSERT INTO ${quoted} (name) SELECT 'again ' || i FROM generate_series(1, 50) i`,
    ],
    ['ALTER TABLE', `ALTER TABLE ${quoted} ADD COLUMN added int4 DEFAULT 7`],
    ['COMMENT', `COMMENT ON COLUMN ${quoted}.name IS '{"_info": {"label": "Name of it"}}'`],
  ];

  test.each(changes)(
    'P4 %s makes the blob stale at once, and then a new one is fresh',
    async (_name, statement) => {
      const before = await untilFresh();
      await owner.query(statement);
      const after = await get(`${base}${dump}`);
      const seen = after.headers['x-dump-source'];
      if (seen === 'blob')
        expect(after.headers['x-dump-revision']).not.toBe(before.headers['x-dump-revision']);
      else expect(seen).toBe('live');
      const fresh = await untilFresh();
      expect(fresh.headers['x-dump-revision']).not.toBe(before.headers['x-dump-revision']);
      expect(await download('?format=json')).toBe((await get(`${base}${dump}?format=json&latest=true`)).body);
    },
  );

  test('P4 DROP and CREATE: never the old dump again', async () => {
    const before = await untilFresh();
    await owner.query('BEGIN');
    await owner.query(`DROP TABLE ${quoted}`);
    await createTable();
    await owner.query('COMMIT');
    const after = await get(`${base}${dump}`);
    expect(after.headers['x-dump-revision']).not.toBe(before.headers['x-dump-revision']);
    expect(after.body.split('\n').length > 50 || after.status === 302).toBe(true);
  });
});
