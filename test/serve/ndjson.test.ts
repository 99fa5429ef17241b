/** NDJSON by HTTP: asked, published, redirected to and refused as CKAN's own formats are (promises P9, P22). */
import { createHash } from 'node:crypto';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { ask, startServing, type Serving } from './serving.ts';

let serving: Serving;
const id = 'e1000000-0000-4000-8000-000000000001';
const empty = 'e1000000-0000-4000-8000-000000000002';
const hidden = 'e1000000-0000-4000-8000-000000000003';

beforeAll(async () => {
  serving = await startServing();
  await serving.createTable(id, 0);
  await serving.owner.query(
    `ALTER TABLE "${id}" ADD doc jsonb, ADD list int4[], ADD at timestamp, ADD x numeric`,
  );
  await serving.owner.query(
    `INSERT INTO "${id}" (n, text, doc, list, at, x)
     SELECT i, CASE i % 3 WHEN 0 THEN NULL WHEN 1 THEN '' ELSE 'say "' || i END,
            jsonb_build_object('b', 1.50, 'a', i), ARRAY[i, NULL], '2020-01-02 03:04:05.678', i / 8.0
     FROM generate_series(1, 500) i`,
  );
  await serving.createTable(empty, 0);
  await serving.createTable(hidden, 1, { private: true });
  for (const table of [id, empty]) await serving.publish(table);
});
afterAll(() => serving.close());

const dump = (query = '', table = id): string =>
  `${serving.url}/datastore/dump/${table}?format=ndjson${query === '' ? '' : `&${query}`}`;

/** What the JSON answer to the same question says, as objects. */
async function objectsOfJson(query: string): Promise<unknown[]> {
  const answer = await ask(`${serving.url}/datastore/dump/${id}?format=json&latest=true&${query}`);
  const { fields, records } = JSON.parse(answer.text) as { fields: { id: string }[]; records: unknown[][] };
  return records.map((record) => Object.fromEntries(fields.map((field, i) => [field.id, record[i]])));
}

const objectsOf = (text: string): unknown[] =>
  text
    .split('\n')
    .slice(0, -1)
    .map((line) => JSON.parse(line) as unknown);

describe('P22: a whole table', () => {
  it('is redirected to its blob, whose bytes are the live answer’s', async () => {
    const redirect = await ask(dump());
    expect([redirect.status, redirect.headers.get('x-dump-source')]).toEqual([302, 'blob']);
    const blob = await ask(new URL(redirect.headers.get('location') ?? '', serving.url).href);
    const live = await ask(dump('latest=true'));
    expect(blob.text).toBe(live.text);
    for (const answer of [blob, live]) {
      expect(answer.headers.get('content-type')).toBe('application/x-ndjson');
      expect(answer.headers.get('content-disposition')).toContain(`filename="${id}.ndjson"`);
    }
    expect(live.text.split('\n')[0]).toBe(
      '{"_id":1,"n":1,"text":"","doc":{"a":1,"b":1.5},"list":[1,null],"at":"2020-01-02T03:04:05.678","x":0.125}',
    );
    expect(objectsOf(live.text)).toEqual(await objectsOfJson(''));
  });

  it('HEAD has length, entity tag and digest; the tag gives 304', async () => {
    const { text } = await ask(dump('latest=true'));
    const head = await ask(dump(), { method: 'HEAD' });
    const sha256 = createHash('sha256').update(text).digest('base64');
    expect([head.status, head.text]).toEqual([200, '']);
    expect(head.headers.get('content-length')).toBe(String(Buffer.byteLength(text)));
    expect(head.headers.get('repr-digest')).toBe(`sha-256=:${sha256}:`);
    const etag = head.headers.get('etag') ?? '';
    const known = { 'if-none-match': etag, 'cache-control': 'max-age=0' };
    expect((await ask(dump(), { headers: known })).status).toBe(304);
    const liveHead = await ask(dump('limit=3'), { method: 'HEAD' });
    expect([liveHead.status, liveHead.headers.get('content-type')]).toEqual([200, 'application/x-ndjson']);
  });

  it('has no byte order mark, whoever asks for one: the blob is the same', async () => {
    const blob = new URL((await ask(dump('bom=true'))).headers.get('location') ?? '', serving.url);
    expect(blob.pathname).toBe(
      new URL((await ask(dump())).headers.get('location') ?? '', serving.url).pathname,
    );
    const bytes = new Uint8Array(await (await fetch(dump('bom=true&limit=1'))).arrayBuffer());
    expect(bytes[0]).toBe('{'.charCodeAt(0));
  });

  it('without rows is 0 bytes, as blob and live', async () => {
    const live = await ask(dump('latest=true', empty));
    expect([live.status, live.text, live.headers.get('content-length')]).toEqual([200, '', '0']);
    const redirect = await ask(dump('', empty));
    const blob = await ask(new URL(redirect.headers.get('location') ?? '', serving.url).href);
    expect([redirect.status, blob.status, blob.text]).toEqual([302, 200, '']);
    expect(blob.headers.get('content-length')).toBe('0');
    expect((await ask(dump('redirect=false', empty))).status).toBe(200);
    expect((await ask(dump('limit=0'))).text).toBe('');
  });
});

describe('the page of a table', () => {
  it('links what is published, in the order of the table of formats', async () => {
    const { text } = await ask(`${serving.url}/tables/${id}`);
    const links = [...text.matchAll(/\?(format=[^"]+)">([^<]+)</g)].map(([, query, label]) => [query, label]);
    expect(links.map(([query]) => query)).toEqual([
      'format=csv',
      'format=csv&amp;bom=true',
      'format=tsv',
      'format=tsv&amp;bom=true',
      'format=json',
      'format=xml',
      'format=ndjson',
    ]);
    expect(links.at(-1)).toEqual(['format=ndjson', 'NDJSON']);
  });
});

describe('P22: CKAN’s parameters mean what they mean for JSON', () => {
  it.each([
    'limit=3',
    'limit=5&offset=7',
    'sort=n desc&limit=4',
    'fields=text,n&limit=20',
    'filters={"n":[3,4,5]}',
    'filters={"text":""}&sort=_id desc',
    'distinct=true&fields=text&sort=text',
    'q=say',
  ])('%s', async (query) => {
    const answer = await ask(dump(encodeURI(query)));
    expect([answer.status, answer.headers.get('x-dump-source')]).toEqual([200, 'live']);
    expect(objectsOf(answer.text)).toEqual(await objectsOfJson(encodeURI(query)));
  });

  it('a column that is asked for twice is one key; `fields=` gives every column, which is the blob', async () => {
    expect((await ask(dump('fields=n,_id,n&limit=1'))).text).toBe('{"n":1,"_id":1}\n');
    expect((await ask(dump('fields='))).status).toBe(302);
    expect(objectsOf((await ask(dump('fields=&limit=2'))).text)).toEqual(await objectsOfJson('limit=2'));
  });
});

describe('P9: what is refused, in CKAN’s words and order', () => {
  it('an unknown format names CKAN’s four, ours or not', async () => {
    for (const format of ['NDJSON', 'ndjson+bom', 'nd', 'parquet-']) {
      const answer = await ask(`${serving.url}/datastore/dump/${id}?format=${encodeURIComponent(format)}`);
      expect(answer.status).toBe(400);
      expect(answer.text).toBe("format: Value must be one of ('csv', 'tsv', 'json', 'xml')\n");
    }
  });

  it('other bad parameters are named as for every format, before the table is looked for', async () => {
    for (const table of [id, 'no-such-table']) {
      const answer = await ask(dump('limit=x&filters={', table));
      expect([answer.status, answer.text]).toEqual([
        400,
        'filters: Cannot parse JSON\nlimit: Invalid integer\n',
      ]);
    }
    expect((await ask(dump('fields=nope'))).text).toBe('fields: no such column in this table\n');
  });

  it('a table that the caller may not read, and one that is not there', async () => {
    for (const table of [hidden, 'no-such-table']) expect((await ask(dump('', table))).status).toBe(404);
  });
});
