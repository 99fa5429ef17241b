/** Cross-origin headers and locale prefixes by CKAN's own settings, end to end, as CKAN 2.11 and 2.12 have them. */
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { serviceFixture, type ServiceFixture } from '../world/service.ts';
import { eventually } from '../world/eventually.ts';
import { ask } from './serving.ts';

const id = 'c1000000-0000-4000-8000-000000000001';
const names = [
  'access-control-allow-origin',
  'access-control-allow-methods',
  'access-control-allow-headers',
] as const;

let world: ServiceFixture;

beforeAll(async () => {
  world = await serviceFixture();
  await world.createTable(id, 3);
  const publishing = await world.start({ DUMPER_CKAN_VERSION: '2.12' });
  await eventually('it is published', () => world.manifest(id), { seconds: 25 });
  await publishing.service.stop();
});
afterAll(() => world.end());

async function serve(settings: Readonly<Record<string, string>>): Promise<string> {
  return (await world.start({ DUMPER_CKAN_VERSION: '2.12', DUMPER_ROLE: 'serve', ...settings })).base;
}

const dump = (base: string, query = '', prefix = ''): string =>
  `${base}${prefix}/datastore/dump/${id}${query}`;

/** Every kind of answer that the route has: redirect, live, by this service, refused, not there, preflight. */
const answers = [
  ['GET', dump('', ''), 302],
  ['GET', dump('', '?limit=1'), 200],
  ['GET', dump('', '?redirect=false'), 200],
  ['HEAD', dump(''), 200],
  ['GET', dump('', '?limit=x'), 400],
  ['GET', '/datastore/dump/not-there', 404],
  ['POST', dump(''), 405],
  ['OPTIONS', dump(''), 200],
] as const;

async function headersOf(base: string, origin: string | null): Promise<[number, ...(string | null)[]][]> {
  const found: [number, ...(string | null)[]][] = [];
  for (const [method, path] of answers) {
    const answer = await ask(base + path, { method, headers: origin === null ? {} : { origin } });
    found.push([answer.status, ...names.map((name) => answer.headers.get(name))]);
  }
  return found;
}

const everywhere = (...headers: (string | null)[]): unknown[] =>
  answers.map(([, , status]) => [status, ...headers]);
const nothing = everywhere(null, null, null);
const methods = 'POST, PUT, GET, DELETE, OPTIONS';

describe('cross-origin', () => {
  it('without a setting, no origin is named', async () => {
    const base = await serve({});
    expect(await headersOf(base, 'http://elsewhere.example')).toEqual(nothing);
    expect((await ask(dump(base))).headers.get('vary')).not.toContain('Origin');
  });

  it.each(['2.11', '2.12'])('origin_allow_all (%s): everybody who names an origin', async (version) => {
    const base = await serve({
      DUMPER_CKAN_VERSION: version,
      CKAN__CORS__ORIGIN_ALLOW_ALL: 'True',
      CKAN__CORS__ORIGIN_WHITELIST: 'http://one.example',
    });
    for (const [, ...headers] of await headersOf(base, 'http://elsewhere.example'))
      expect(headers).toEqual(['*', methods, 'Authorization, Content-Type']);
    for (const [, ...headers] of await headersOf(base, null)) expect(headers).toEqual([null, null, null]);
    // An answer to nobody's origin, kept by a cache, would lack the header for those who name theirs.
    expect((await ask(dump(base, '?limit=1'))).headers.get('vary')).toContain('Origin');
  });

  it('origin_whitelist: the origin that asks, whole and alone; a cache can tell', async () => {
    const base = await serve({
      CKAN__CORS__ORIGIN_WHITELIST: 'http://one.example  https://two.example:8443',
      CKAN__APITOKEN_HEADER_NAME: 'X-Api-Token',
    });
    for (const origin of ['http://one.example', 'https://two.example:8443'])
      expect(await headersOf(base, origin)).toEqual(everywhere(origin, methods, 'X-Api-Token, Content-Type'));
    for (const origin of ['https://one.example', 'http://one.example.evil', 'http://one', 'null', '*'])
      expect([origin, await headersOf(base, origin)]).toEqual([origin, nothing]);
    expect(await headersOf(base, null)).toEqual(nothing);
    for (const headers of [{}, { origin: 'http://one.example' }, { origin: 'http://evil.example' }])
      expect((await ask(dump(base, '?limit=1'), { headers })).headers.get('vary')).toContain('Origin');
  });

  it('a browser can follow the redirect: the blob names the origin too', async () => {
    const base = await serve({ CKAN__CORS__ORIGIN_WHITELIST: 'http://one.example' });
    const headers = { origin: 'http://one.example' };
    const redirect = await ask(dump(base), { headers });
    const blob = await ask(new URL(redirect.headers.get('location') ?? '', base).href, { headers });
    expect([blob.status, blob.headers.get(names[0])]).toEqual([200, 'http://one.example']);
  });
});

describe('locales', () => {
  it("a prefix of CKAN's locales, or the default one, changes no byte; no other is a dump", async () => {
    const base = await serve({ CKAN__LOCALE_DEFAULT: 'de_CH' });
    const plain = await ask(dump(base, '?redirect=false&format=json'));
    const live = await ask(dump(base, '?latest=true&format=json'));
    for (const prefix of ['/de_CH', '/fr', '/en', '/pt_BR']) {
      const answer = await ask(dump(base, '?redirect=false&format=json', prefix));
      expect([prefix, answer.status, answer.text]).toEqual([prefix, 200, plain.text]);
      expect((await ask(dump(base, '?latest=true&format=json', prefix))).text).toBe(live.text);
      const redirect = await ask(dump(base, '', prefix));
      const blob = await ask(new URL(redirect.headers.get('location') ?? '', base).href);
      expect([prefix, redirect.status, blob.status]).toEqual([prefix, 302, 200]);
      expect((await ask(dump(base, '?limit=x', prefix))).status).toBe(400);
    }
    for (const prefix of ['/xx', '/DE_CH', '/fr/fr', '/de_CH/de_CH', '//fr'])
      expect([prefix, (await ask(dump(base, '', prefix))).status]).toEqual([prefix, 404]);
    const other = await serve({});
    expect((await ask(dump(other, '', '/de_CH'))).status).toBe(404);
    expect((await ask(dump(other, '', '/de'))).status).toBe(302);
  });
});
