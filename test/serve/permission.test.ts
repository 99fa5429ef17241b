/** Who may download what: every caller, table, method and delivery against CKAN's own answer (promises P9 to P11). */
import type { IncomingHttpHeaders } from 'node:http';
import { afterAll, afterEach, beforeAll, describe, expect, it } from 'vitest';
import type { CkanFault } from '../world/fake-ckan.ts';
import { recordCount } from '../world/counts.ts';
import { ask, startServing, type Serving } from './serving.ts';

const tables = {
  open: 'b0000000-0000-4000-8000-000000000001',
  private: 'b0000000-0000-4000-8000-000000000002',
  deleted: 'b0000000-0000-4000-8000-000000000003',
  draft: 'b0000000-0000-4000-8000-000000000004',
} as const;
const callers = ['anonymous', 'outsider', 'member', 'sysadmin', 'badtoken'] as const;

let serving: Serving;

beforeAll(async () => {
  serving = await startServing({ environment: { DUMPER_ADMIN_TOKEN: 'the-admin-token' } });
  await serving.createTable(tables.open, 3);
  await serving.createTable(tables.private, 3, { private: true });
  await serving.createTable(tables.deleted, 3, { state: 'deleted' });
  await serving.createTable(tables.draft, 3, { state: 'draft' });
  for (const id of Object.values(tables)) await serving.publish(id, { public: id === tables.open });
  await serving.owner.query(`CREATE VIEW "an alias" AS SELECT * FROM "${tables.private}"`);
  await serving.owner.query(`CREATE VIEW "open-alias" AS SELECT * FROM "${tables.open}"`);
});
afterAll(() => serving.close());
afterEach(() => {
  serving.ckan.setFault(null);
});

function headersOf(who: string, more: Readonly<Record<string, string>> = {}): Record<string, string> {
  const token = serving.ckan.token(who);
  return token === undefined ? { ...more } : { ...more, authorization: token };
}

function mayRead(who: string, table: string): boolean {
  if (table === 'open' || table === 'open-alias') return true;
  return table !== 'unknown' && (who === 'member' || who === 'sysadmin');
}

const names: Readonly<Record<string, string>> = {
  ...tables,
  alias: 'an%20alias',
  'open-alias': 'open-alias',
  unknown: 'b0000000-0000-4000-8000-00000000ffff',
};
const queries = [
  '',
  '?format=json',
  '?format=xml&latest=true',
  '?limit=1',
  '?redirect=false',
  '?format=tsv&bom=True',
];
const ways = [
  { method: 'GET', headers: {} },
  { method: 'HEAD', headers: {} },
  { method: 'GET', headers: { range: 'bytes=0-3' } },
  { method: 'GET', headers: { 'if-none-match': '*' } },
];

describe('P9: what CKAN would refuse is never given', () => {
  it('by no method, format, delivery or condition, to any caller', async () => {
    let asked = 0;
    for (const [table, name] of Object.entries(names)) {
      for (const who of callers) {
        for (const query of queries) {
          for (const { method, headers } of ways) {
            const answer = await ask(`${serving.url}/datastore/dump/${name}${query}`, {
              method,
              headers: headersOf(who, headers),
            });
            const about = `${method} ${table}${query} ${JSON.stringify(headers)} as ${who}`;
            asked += 1;
            if (mayRead(who, table)) expect([about, answer.status < 400]).toEqual([about, true]);
            else {
              expect([about, answer.status]).toEqual([about, 404]);
              if (method === 'GET') expect(answer.text).toBe('DataStore resource not found\n');
              expect(answer.headers.get('etag')).toBeNull();
              expect(answer.headers.get('x-dump-revision')).toBeNull();
              expect(answer.headers.get('content-disposition')).toBeNull();
            }
            if (table !== 'open' && table !== 'open-alias') {
              expect(answer.headers.get('cache-control')).toBe('private, no-store');
            }
            expect(answer.headers.get('vary')?.toLowerCase()).toMatch(/cookie.*authorization/);
          }
        }
      }
    }
    recordCount('P9', 'questions of the permission matrix', asked);
    expect(asked).toBe(Object.keys(names).length * callers.length * queries.length * ways.length);
  });

  it('by status, pages and metrics', async () => {
    for (const who of callers) {
      for (const [table, name] of Object.entries(names)) {
        const one = await ask(`${serving.url}/status/${name}`, { headers: headersOf(who) });
        expect([table, who, one.status]).toEqual([table, who, mayRead(who, table) ? 200 : 404]);
        const page = await ask(`${serving.url}/tables/${name}`, { headers: headersOf(who) });
        expect([table, who, page.status]).toEqual([table, who, mayRead(who, table) ? 200 : 404]);
      }
      for (const path of ['/status', '/', '/metrics', '/readyz', '/healthz']) {
        const list = await ask(`${serving.url}${path}`, { headers: headersOf(who) });
        for (const table of ['private', 'deleted', 'draft'] as const) {
          const shown = list.text.includes(tables[table]);
          if (path === '/metrics' || !mayRead(who, table))
            expect([path, who, table, shown]).toEqual([path, who, table, false]);
        }
      }
    }
    const admin = await ask(`${serving.url}/status`, {
      headers: { authorization: 'Bearer the-admin-token' },
    });
    for (const id of Object.values(tables)) expect(admin.text).toContain(id);
  });

  it('forwards the token and the session, and nothing else', async () => {
    serving.ckan.forget();
    await ask(`${serving.url}/datastore/dump/${tables.private}`, {
      headers: {
        authorization: 'token-outsider',
        cookie: '_ga=1; ckan=session-outsider; other=2',
        'x-secret': 'mine',
      },
    });
    const [anonymously, asCaller]: (IncomingHttpHeaders | undefined)[] = serving.ckan.asked
      .filter(({ action }) => action === 'datastore_search')
      .map(({ headers }) => headers);
    expect(anonymously?.authorization).toBeUndefined();
    expect(anonymously?.cookie).toBeUndefined();
    expect(asCaller?.authorization).toBe('token-outsider');
    expect(asCaller?.cookie).toBe('ckan=session-outsider');
    expect(asCaller?.['x-secret']).toBeUndefined();
  });

  it('a session reads what its user may', async () => {
    const url = `${serving.url}/datastore/dump/${tables.private}`;
    expect((await ask(url, { headers: { cookie: 'ckan=session-member' } })).status).toBe(302);
    expect((await ask(url, { headers: { cookie: 'ckan=session-outsider' } })).status).toBe(404);
  });

  it('a private redirect is signed, with an answer that nobody may keep', async () => {
    const answer = await ask(`${serving.url}/datastore/dump/${tables.private}`, {
      headers: headersOf('member'),
    });
    const location = new URL(answer.headers.get('location') ?? '', serving.url);
    expect(location.searchParams.get('signature')).toBeTruthy();
    const blob = await ask(location.href);
    expect([blob.status, blob.headers.get('cache-control')]).toEqual([200, 'private, no-store']);
    expect(serving.log.join('\n')).not.toContain(location.searchParams.get('signature'));
  });
});

describe('P10: access lost is access lost', () => {
  it('made private, deleted, given back, token revoked: each by the next decision', async () => {
    const id = tables.open;
    const rights = serving.tables.get(id);
    if (rights === undefined) throw new Error('no such table');
    const status = async (who: string, query = ''): Promise<number> =>
      (await ask(`${serving.url}/datastore/dump/${id}${query}`, { headers: headersOf(who) })).status;
    for (const [loss, gain] of [
      [() => (rights.private = true), () => (rights.private = false)],
      [() => (rights.state = 'deleted'), () => (rights.state = 'active')],
    ] as const) {
      loss();
      expect([
        await status('anonymous'),
        await status('outsider'),
        await status('anonymous', '?limit=1'),
      ]).toEqual([404, 404, 404]);
      expect([await status('member'), await status('member', '?limit=1')]).toEqual([302, 200]);
      gain();
      expect([await status('anonymous'), await status('outsider')]).toEqual([302, 302]);
    }
    expect(
      (await ask(`${serving.url}/datastore/dump/${tables.private}`, { headers: headersOf('member') })).status,
    ).toBe(302);
    serving.ckan.revoke('member');
    expect(
      (await ask(`${serving.url}/datastore/dump/${tables.private}`, { headers: headersOf('member') })).status,
    ).toBe(404);
  });
});

describe('P11: CKAN that cannot be asked is never guessed at', () => {
  for (const fault of [
    'error',
    'blackhole',
    'html',
    'redirect',
    'huge',
    'reset',
    'lie',
  ] satisfies CkanFault[]) {
    it(`${fault}: 503 with Retry-After in bounded time, few questions, and recovery`, async () => {
      const url = `${serving.url}/datastore/dump/${tables.open}`;
      await expect.poll(async () => (await ask(url)).status, { timeout: 15_000 }).toBe(302);
      serving.ckan.setFault(fault);
      serving.ckan.forget();
      const answers = await Promise.all(Array.from({ length: 30 }, () => ask(url)));
      for (const { status, headers, text } of answers) {
        expect([status, headers.get('retry-after'), headers.get('location')]).toEqual([503, '5', null]);
        expect(text).toBe('CKAN cannot be asked for permission at the moment\n');
      }
      for (let round = 0; round < 40; round += 1) expect((await ask(url)).status).toBe(503);
      expect(serving.ckan.faulted()).toBeLessThan(20);
      serving.ckan.setFault(null);
      await expect.poll(async () => (await ask(url)).status, { timeout: 15_000 }).toBe(302);
    });
  }
});
