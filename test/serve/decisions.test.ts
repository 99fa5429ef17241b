/** How few questions CKAN is asked, and by which action; nothing else is ever asked (promises P9, P17). */
import { createServer } from 'node:http';
import type { AddressInfo } from 'node:net';
import { setTimeout as delay } from 'node:timers/promises';
import { afterAll, beforeAll, describe, expect, it, vi } from 'vitest';
import { createLruCache } from '../../src/lru.ts';
import { ask, startServing, type Serving } from './serving.ts';

// Measured with a busy machine, and room beyond.
vi.setConfig({ testTimeout: 60_000 });

const tables = {
  open: 'b1000000-0000-4000-8000-000000000001',
  private: 'b1000000-0000-4000-8000-000000000002',
} as const;

let serving: Serving;

beforeAll(async () => {
  serving = await startServing();
  await serving.createTable(tables.open, 3);
  await serving.createTable(tables.private, 3, { private: true });
  for (const id of Object.values(tables)) await serving.publish(id, { public: id === tables.open });
});
afterAll(() => serving.close());

describe('P14: what is remembered is bounded', () => {
  it('by number and by weight, the least recently used going first', () => {
    const recent = createLruCache<string>(3, { most: 10, weigh: (text) => text.length });
    const kept = (): string[] => ['a', 'b', 'c', 'd'].filter((key) => recent.get(key) !== undefined);
    for (const key of ['a', 'b', 'c']) recent.set(key, '123');
    recent.get('a');
    recent.set('d', '1');
    expect(kept()).toEqual(['a', 'c', 'd']);
    recent.set('d', '12345');
    expect(kept(), 'of 11 the oldest went').toEqual(['c', 'd']);
    recent.delete('c');
    recent.set('b', '12345');
    expect(kept()).toEqual(['b', 'd']);
    recent.set('a', '12345678901');
    expect(kept(), 'one that is too heavy is not kept').toEqual([]);
    recent.set('a', '1234567890');
    expect(kept()).toEqual(['a']);
  });
});

describe('decisions are kept for a moment', () => {
  it('one question for many requests at once, and none while it is kept; refusals too', async () => {
    const kept = await startServing({ environment: { DUMPER_DECISION_CACHE_SECONDS: '60' } });
    try {
      await kept.createTable(tables.open, 1);
      await kept.createTable(tables.private, 1, { private: true });
      const dump = (id: string, token?: string) =>
        ask(
          `${kept.url}/datastore/dump/${id}`,
          token === undefined ? {} : { headers: { authorization: token } },
        );
      await dump(tables.open);
      kept.ckan.forget();
      await Promise.all(Array.from({ length: 20 }, () => dump(tables.private, 'token-outsider')));
      for (let round = 0; round < 5; round += 1)
        expect((await dump(tables.private, 'token-outsider')).status).toBe(404);
      expect(kept.ckan.asked.length).toBe(2);
      await dump(tables.private, 'token-member');
      expect(kept.ckan.asked.map(({ who }) => who)).toEqual(['anonymous', 'outsider', 'member']);
    } finally {
      await kept.close();
    }
  });

  it('datastore_authorize is used where it is; what it tells of private and state counts', async () => {
    const authz = await startServing({ authorize: true });
    try {
      await authz.createTable(tables.open, 1);
      await authz.createTable(tables.private, 1, { private: true });
      expect((await ask(`${authz.url}/datastore/dump/${tables.open}`)).status).toBe(200);
      expect((await ask(`${authz.url}/datastore/dump/${tables.private}`)).status).toBe(404);
      const asMember = { headers: { authorization: 'token-member' } };
      const answer = await ask(`${authz.url}/datastore/dump/${tables.private}`, asMember);
      expect([answer.status, answer.headers.get('cache-control')]).toEqual([200, 'private, no-store']);
      expect(authz.world.permission.how()).toBe('datastore_authorize');
      expect(authz.ckan.asked[0]?.action).toBe('datastore_authorize');
    } finally {
      await authz.close();
    }
  });

  it("a table that breaks CKAN's own search is decided by resource_show", async () => {
    serving.ckan.setPermissions((who, action, id) =>
      action === 'datastore_search' ? 409 : id === tables.open || who === 'sysadmin' ? 200 : 403,
    );
    expect((await ask(`${serving.url}/datastore/dump/${tables.open}`)).status).toBe(302);
    expect((await ask(`${serving.url}/datastore/dump/${tables.private}`)).status).toBe(404);
    serving.ckan.setPermissions(() => 429);
    expect((await ask(`${serving.url}/datastore/dump/${tables.open}`)).status).toBe(503);
  });
});

describe('P17: no server-side request forgery, no open redirect', () => {
  it("never asks an address that is not CKAN's", async () => {
    let reached = 0;
    const elsewhere = createServer((_request, response) => {
      reached += 1;
      response.end();
    });
    await new Promise<void>((resolve) => elsewhere.listen(0, '127.0.0.1', resolve));
    const { port } = elsewhere.address() as AddressInfo;
    const evil = `127.0.0.1:${port}`;
    for (const headers of [
      { 'x-forwarded-host': evil },
      { forwarded: `host=${evil}` },
      { referer: `http://${evil}/` },
    ]) {
      const answer = await ask(`${serving.url}/datastore/dump/http:%2f%2f${evil}%2f`, { headers });
      expect(answer.status).toBe(404);
      const redirect = await ask(`${serving.url}/datastore/dump/${tables.open}`, { headers });
      expect(redirect.headers.get('location') ?? '').not.toContain(evil);
    }
    await delay(50);
    expect(reached).toBe(0);
    await new Promise((resolve) => elsewhere.close(resolve));
  });
});
