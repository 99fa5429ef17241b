/**
 * The description of the API is true: every operation is called on a running service, rightly and wrongly, and each
 * answer's status, media type, headers and JSON are as `openapi.yaml` says; every status it names for what a caller
 * can bring about is brought about.
 */
import { createHmac } from 'node:crypto';
import http from 'node:http';
import { afterAll, beforeAll, expect, test } from 'vitest';
import { parse } from 'yaml';
import { faultsOf, resolved, type Schema } from '../house/schema-check.ts';
import { textOf } from '../house/tree.ts';
import { eventually } from '../world/eventually.ts';
import { type ServiceFixture, serviceFixture } from '../world/service.ts';

const description = parse(textOf('openapi.yaml')) as Schema;
const paths = description['paths'] as Record<string, Record<string, Schema>>;
const secret = 'the secret of notices';
const admin = { authorization: 'Bearer the-admin' };

let world: ServiceFixture;
let base: string;

beforeAll(async () => {
  world = await serviceFixture();
  await world.createTable('described', 30);
  ({ base } = await world.start({ DUMPER_NOTICE_SECRET: secret, DUMPER_ADMIN_TOKEN: 'the-admin' }));
  await eventually('published', async () => (await call('GET', '/datastore/dump/described')).status === 302, {
    seconds: 25,
  });
});
afterAll(() => world?.end());

interface Answer {
  readonly status: number;
  readonly headers: http.IncomingHttpHeaders;
  readonly body: string;
}

interface Asking {
  readonly headers?: Record<string, string>;
  readonly body?: string;
}

async function call(method: string, path: string, { headers = {}, body }: Asking = {}): Promise<Answer> {
  const { promise, resolve, reject } = Promise.withResolvers<http.IncomingMessage>();
  http.request(`${base}${path}`, { method, headers, agent: false }, resolve).on('error', reject).end(body);
  const answer = await promise;
  let text = '';
  for await (const chunk of answer.setEncoding('utf8') as AsyncIterable<string>) text += chunk;
  return { status: answer.statusCode ?? 0, headers: answer.headers, body: text };
}

function signed(body: string): Asking {
  const timestamp = String(Math.floor(Date.now() / 1000));
  const mac = createHmac('sha256', secret).update(`${timestamp}.${body}`).digest('hex');
  return {
    body,
    headers: {
      'x-dumper-timestamp': timestamp,
      'x-dumper-signature': `sha256=${mac}`,
      'content-type': 'application/json',
    },
  };
}

/** What is wrong with an answer, by the description of its operation. */
function untrue(path: string, method: string, answer: Answer): string[] {
  const operation = paths[path]?.[method.toLowerCase()];
  const listed = (operation?.['responses'] as Record<string, Schema> | undefined)?.[String(answer.status)];
  if (listed === undefined) return [`${answer.status} is not described: ${answer.body.slice(0, 200)}`];
  const response = resolved(description, listed);
  const faults: string[] = [];
  for (const [name, header] of Object.entries((response['headers'] ?? {}) as Record<string, Schema>)) {
    const value = answer.headers[name.toLowerCase()];
    if (value === undefined) {
      if (name !== 'X-Dump-Revision' || answer.headers['x-dump-source'] === 'blob') faults.push(`no ${name}`);
      continue;
    }
    const schema = resolved(description, header)['schema'] as Schema;
    faults.push(...faultsOf(description, schema, schema['type'] === 'integer' ? Number(value) : value, name));
  }
  const content = response['content'] as Record<string, Schema> | undefined;
  if (content === undefined || method === 'HEAD') return faults;
  const type = String(answer.headers['content-type']).split(';')[0] ?? '';
  const media = content[type];
  if (media === undefined) return [...faults, `${type} is not described`];
  if (!type.endsWith('json')) return faults;
  return [...faults, ...faultsOf(description, media['schema'] as Schema, JSON.parse(answer.body))];
}

/** Path of the description, method, what is asked, the status that must come. */
type Row = readonly [path: string, method: string, at: string, asking: Asking, status: number];

const dump = '/datastore/dump/{id}';
const form = { 'content-type': 'application/x-www-form-urlencoded' };
const rows: readonly Row[] = [
  [dump, 'GET', '/datastore/dump/described', {}, 302],
  [dump, 'GET', '/datastore/dump/described?redirect=false', {}, 200],
  [dump, 'GET', '/datastore/dump/described?redirect=false', { headers: { range: 'bytes=0-9' } }, 206],
  [dump, 'GET', '/datastore/dump/described?redirect=false', { headers: { range: 'bytes=999999-' } }, 416],
  [dump, 'GET', '/datastore/dump/described', { headers: { 'if-none-match': '*' } }, 304],
  [dump, 'GET', '/datastore/dump/described?latest=true&format=json', {}, 200],
  [dump, 'GET', '/datastore/dump/described?limit=3&format=tsv', {}, 200],
  [dump, 'GET', '/datastore/dump/described?limit=3&format=xml', {}, 200],
  [dump, 'GET', '/datastore/dump/described?format=pdf', {}, 400],
  [dump, 'GET', '/datastore/dump/nothing', {}, 404],
  [dump, 'HEAD', '/datastore/dump/described', {}, 200],
  [dump, 'HEAD', '/datastore/dump/described', { headers: { 'if-none-match': '*' } }, 304],
  [dump, 'HEAD', '/datastore/dump/described?format=pdf', {}, 400],
  [dump, 'HEAD', '/datastore/dump/nothing', {}, 404],
  [dump, 'OPTIONS', '/datastore/dump/described', {}, 200],
  ['/notices', 'POST', '/notices', signed('{"resource_id": "described"}'), 202],
  [
    '/notices',
    'POST',
    '/notices',
    signed('[{"resource_id": "described"}, {"resource_id": "described"}]'),
    202,
  ],
  ['/notices', 'POST', '/notices', signed('nonsense'), 400],
  ['/notices', 'POST', '/notices', { body: '{}' }, 401],
  ['/notices', 'POST', '/notices', { headers: { 'content-length': '2000000' }, body: '' }, 413],
  ['/status', 'GET', '/status', {}, 200],
  ['/status', 'GET', '/status?limit=1', { headers: admin }, 200],
  ['/status/{id}', 'GET', '/status/described', {}, 200],
  ['/status/{id}', 'GET', '/status/nothing', {}, 404],
  ['/status/{id}/rebuild', 'POST', '/status/described/rebuild', { headers: admin }, 202],
  ['/status/{id}/rebuild', 'POST', '/status/nothing/rebuild', { headers: admin }, 404],
  ['/status/{id}/rebuild', 'POST', '/status/described/rebuild', {}, 401],
  ['/blobs/{key}', 'GET', '/blobs/described/x/described.csv?expires=1&signature=x', {}, 403],
  ['/healthz', 'GET', '/healthz', {}, 200],
  ['/readyz', 'GET', '/readyz', {}, 200],
  ['/readyz', 'GET', '/readyz?needed', {}, 200],
  ['/metrics', 'GET', '/metrics', {}, 200],
  ['/openapi.yaml', 'GET', '/openapi.yaml', {}, 200],
  ['/', 'GET', '/', {}, 200],
  ['/page.css', 'GET', '/page.css', {}, 200],
  ['/tables/{id}', 'GET', '/tables/described', {}, 200],
  ['/tables/{id}', 'GET', '/tables/nothing', {}, 404],
  [
    '/tables/{id}/rebuild',
    'POST',
    '/tables/described/rebuild',
    { headers: form, body: 'token=the-admin' },
    303,
  ],
  [
    '/tables/{id}/rebuild',
    'POST',
    '/tables/nothing/rebuild',
    { headers: form, body: 'token=the-admin' },
    404,
  ],
  ['/tables/{id}/rebuild', 'POST', '/tables/described/rebuild', { headers: form, body: 'token=wrong' }, 403],
];

test.each(rows)('%s %s %s', async (path, method, at, asking, status) => {
  const answer = await call(method, at, asking);
  expect(answer.status, answer.body.slice(0, 300)).toBe(status);
  expect(untrue(path, method, answer)).toEqual([]);
});

test('a blob: at the address of the redirect, whole, in part, not changed, by HEAD', async () => {
  await eventually('fresh', async () => (await call('GET', '/datastore/dump/described')).status === 302, {
    seconds: 25,
  });
  const at = String((await call('GET', '/datastore/dump/described')).headers.location);
  const path = new URL(at, base).pathname + new URL(at, base).search;
  const etag = String((await call('HEAD', path)).headers.etag);
  const asked: [string, Record<string, string>, number][] = [
    ['GET', {}, 200],
    ['GET', { range: 'bytes=2-5' }, 206],
    ['GET', { range: 'bytes=999999-' }, 416],
    ['GET', { 'if-none-match': etag }, 304],
    ['HEAD', {}, 200],
  ];
  for (const [method, headers, status] of asked) {
    const answer = await call(method, path, { headers });
    expect(answer.status).toBe(status);
    expect(untrue('/blobs/{key}', method, answer)).toEqual([]);
  }
});

test('what a caller can bring about was brought about: every operation, and every status but those of outages', () => {
  const asked = new Set([
    ...rows.map(([path, method, , , status]) => `${method} ${path} ${status}`),
    ...['GET 200', 'GET 206', 'GET 304', 'GET 416', 'HEAD 200'].map((one) =>
      one.replace(' ', ' /blobs/{key} '),
    ),
  ]);
  // need an outage, a client that dawdles, no secret, or a blob that vanished
  const apart = /^(?:.* 503|POST \/notices (?:404|408)|\w+ \/blobs\/\{key\} 404)$/;
  const described = Object.entries(paths).flatMap(([path, item]) =>
    Object.entries(item)
      .filter(([method]) => /^(get|head|post|options)$/.test(method))
      .flatMap(([method, operation]) =>
        Object.keys(operation['responses'] as Schema).map(
          (status) => `${method.toUpperCase()} ${path} ${status}`,
        ),
      ),
  );
  expect(described.filter((one) => !asked.has(one) && !apart.test(one))).toEqual([]);
});

test('the examples of bodies are as their schemas say', () => {
  const check = (node: unknown): string[] => {
    if (typeof node !== 'object' || node === null) return [];
    const { schema, example } = node as { schema?: Schema; example?: unknown };
    const own =
      schema !== undefined && example !== undefined && typeof example === 'object'
        ? faultsOf(description, schema, example)
        : [];
    return [...own, ...Object.values(node).flatMap(check)];
  };
  expect(check(description)).toEqual([]);
});
