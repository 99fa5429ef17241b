/**
 * The service behind the recipe of a caching nginx: bytes of public dumps come from its disk, each use is asked for, and
 * neither other callers nor a table made private get anything out of it (promises P4, P9, P10).
 */
import { afterEach, describe, expect, it } from 'vitest';
import { ask as askFront, front, nginx } from '../fronts/front.ts';
import { ask, startServing, type Serving } from './serving.ts';

const open = 'f1100000-0000-4000-8000-00000000000c';
const hidden = 'f1100000-0000-4000-8000-00000000000d';
const anyone = {};
const member = { Authorization: 'token-member' };

let serving: Serving | null = null;
afterEach(() => serving?.close());

async function start(environment: Readonly<Record<string, string>>): Promise<Serving> {
  serving = await startServing({ environment });
  await serving.createTable(open, 500);
  await serving.createTable(hidden, 5, { private: true });
  await serving.publish(open);
  await serving.publish(hidden, { public: false });
  return serving;
}

describe.skipIf(nginx === null)('behind a caching nginx (skipped where there is no nginx)', () => {
  it('streamed: the second use is revalidated, a change is seen at once, lost access too', async () => {
    const { port: dumper, ckan, tables, owner } = await start({ DUMPER_DELIVERY: 'stream' });
    const port = await front('nginx-caching.conf', Number(new URL(ckan.url).port), dumper);
    const dump = (id: string, headers: Record<string, string>) =>
      askFront(port, `/datastore/dump/${id}`, headers);
    const first = await dump(open, anyone);
    expect([first.status, first.headers['x-cache-status']]).toEqual([200, 'MISS']);
    const second = await dump(open, anyone);
    expect([second.body === first.body, second.headers['x-cache-status']]).toEqual([true, 'REVALIDATED']);
    expect(second.headers).not.toHaveProperty('x-accel-expires');
    expect((await dump(hidden, member)).status).toBe(200);
    expect((await dump(hidden, anyone)).status).toBe(404);
    await owner.query(`DELETE FROM "${open}" WHERE n = 1`);
    expect((await dump(open, anyone)).headers['x-dump-source']).toBe('live');
    await serving?.publish(open);
    expect((await dump(open, anyone)).body).not.toBe(first.body);
    const rights = tables.get(open);
    if (rights !== undefined) rights.private = true;
    expect((await dump(open, anyone)).status).toBe(404);
    expect((await dump(open, { Authorization: 'token-outsider' })).status).toBe(404);
    expect((await dump(open, member)).headers['x-cache-status']).toBe('BYPASS');
  });
});

describe('redirects', () => {
  it("with a signed address are nobody's to keep, and no cache can renew one", async () => {
    const { url } = await start({ DUMPER_URL_LIFE_SECONDS: '60' });
    const tag = (await ask(`${url}/datastore/dump/${open}`, { method: 'HEAD' })).headers.get('etag') ?? '';
    const redirect = await ask(`${url}/datastore/dump/${open}`);
    expect([redirect.status, redirect.headers.get('etag')]).toEqual([302, null]);
    expect(redirect.headers.get('cache-control')).toBe('private, no-store');
    const blob = await ask(new URL(redirect.headers.get('location') ?? '', url).href);
    expect(blob.headers.get('cache-control')).toBe('public, max-age=0, must-revalidate');
    const again = await ask(`${url}/datastore/dump/${open}`, { headers: { 'if-none-match': tag } });
    expect(again.status).toBe(304);
  });
});
