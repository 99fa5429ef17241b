/** P9 on the pages of a running service: page by page every reader finds what CKAN lets them see, and no count tells more. */
import { afterAll, beforeAll, expect, test } from 'vitest';
import { rightsOver, startCkan, type FakeCkan, type TableRights } from '../world/fake-ckan.ts';
import { eventually } from '../world/eventually.ts';
import { serviceFixture, type ServiceFixture } from '../world/service.ts';

const secret = 'zz-private';
const names = [...Array.from({ length: 54 }, (_, index) => `open-${String(index).padStart(2, '0')}`), secret];

let world: ServiceFixture;
let ckan: FakeCkan;
let base: string;

beforeAll(async () => {
  world = await serviceFixture();
  const rights = new Map<string, TableRights>(
    names.map((name) => [name, { private: name === secret, state: 'active' }]),
  );
  ckan = await startCkan({ permissions: rightsOver(rights) });
  world.atEnd(() => ckan.stop());
  for (const name of names) await world.createTable(name, 1);
  ({ base } = await world.start({
    DUMPER_AUTHORIZE: 'ckan',
    CKAN_SITE_URL: ckan.url,
    DUMPER_ADMIN_TOKEN: 'the-admin',
  }));
  await eventually(
    'all are published',
    async () =>
      (await tables('?state=fresh', { authorization: 'Bearer the-admin' })).counted === names.length,
    { seconds: 100 },
  );
}, 150_000);
afterAll(() => world?.end());

interface Seen {
  readonly ids: readonly string[];
  readonly text: string;
  /** The number at "all", or null. */
  readonly counted: number | null;
  readonly hasNext: boolean;
}

async function tables(query: string, headers: Record<string, string> = {}): Promise<Seen> {
  const answer = await fetch(`${base}/${query}`, { headers });
  expect(answer.status).toBe(200);
  const text = await answer.text();
  return {
    ids: [...text.matchAll(/href="tables\/([^"]+)"/g)].map((match) => match[1] ?? ''),
    text,
    counted: Number(/✓<\/span>\s*fresh<\/span\s*>\s*<b>(\d+)<\/b>/.exec(text)?.[1] ?? Number.NaN) || null,
    hasNext: text.includes('rel="next"'),
  };
}

test('P9 anonymous readers page through all that is public, and nothing counts the rest', async () => {
  const first = await tables('');
  const second = await tables('?page=2');
  expect(first.hasNext).toBe(true);
  expect(second.hasNext).toBe(false);
  expect([...first.ids, ...second.ids].sort()).toEqual(names.filter((name) => name !== secret).sort());
  for (const { text, counted } of [first, second, await tables(`?q=${secret}`)]) {
    expect(text.replaceAll(`value="${secret}"`, '').replaceAll(`q=${secret}`, '')).not.toContain(secret);
    expect(counted).toBeNull();
  }
});

test('P9 a member finds the private table, by search and by page', async () => {
  const headers = { authorization: ckan.token('member') ?? '' };
  expect((await tables(`?q=${secret}`, headers)).ids).toEqual([secret]);
  expect((await tables('?page=2', headers)).ids).toContain(secret);
});

test('the admin sees all, counted', async () => {
  const seen = await tables('', { authorization: 'Bearer the-admin' });
  expect(seen.counted).toBe(names.length);
});

test('a publication that the form asked for is told of at once, and shown as soon as it is there', async () => {
  const [name = ''] = names;
  const revision = async (): Promise<string> => {
    const status = (await (await fetch(`${base}/status/${name}`)).json()) as { revision: string };
    return status.revision;
  };
  const before = await revision();
  const answer = await fetch(`${base}/tables/${name}/rebuild`, {
    method: 'POST',
    body: new URLSearchParams({ token: 'the-admin' }),
  });
  expect([answer.status, await answer.text()]).toEqual([
    200,
    expect.stringContaining('A publication is queued'),
  ]);
  await eventually('the new revision is shown', async () => (await revision()) !== before, { seconds: 25 });
});
