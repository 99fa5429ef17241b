/** Where redirects lead: the CDN for what everybody may read, signed addresses otherwise, nginx by x-accel (P9, P10, P17). */
import { afterEach, describe, expect, it } from 'vitest';
import { startNginx } from '../world/nginx.ts';
import { ask, startServing, type Serving } from './serving.ts';

const open = 'e0000000-0000-4000-8000-000000000001';
const hidden = 'e0000000-0000-4000-8000-000000000002';
const running: { close(): Promise<void> }[] = [];
afterEach(async () => {
  for (const part of running.splice(0).toReversed()) await part.close();
});

async function serve(environment: Readonly<Record<string, string>>): Promise<Serving> {
  const serving = await startServing({ environment });
  running.push(serving);
  await serving.createTable(open, 2000);
  await serving.createTable(hidden, 2, { private: true });
  await serving.publish(open, { exposed: true });
  await serving.publish(hidden, { public: false });
  return serving;
}

const member = { headers: { authorization: 'token-member' } };

describe('the public address', () => {
  it('is given for what everybody may read, to everybody; the rest is signed', async () => {
    const serving = await serve({ DUMPER_PUBLIC_BLOB_URL: 'https://cdn.example/data' });
    const anonymous = await ask(`${serving.url}/datastore/dump/${open}`);
    expect(anonymous.headers.get('location')).toMatch(
      new RegExp(`^https://cdn\\.example/data/public/${open}/[0-9a-f-]+/${open}\\.csv$`),
    );
    expect(anonymous.headers.get('cache-control')).toBe('public, max-age=0, must-revalidate');
    const privately = await ask(`${serving.url}/datastore/dump/${hidden}`, member);
    expect(privately.headers.get('location')).toMatch(/^\/blobs\/e0000000.*signature=/);
    expect(privately.headers.get('cache-control')).toBe('private, no-store');
  });

  it('P10: of a table made private is given to nobody, though the blob is fresh', async () => {
    const serving = await serve({ DUMPER_PUBLIC_BLOB_URL: 'https://cdn.example' });
    const rights = serving.tables.get(open);
    if (rights) rights.private = true;
    const asMember = await ask(`${serving.url}/datastore/dump/${open}`, member);
    expect([
      asMember.status,
      asMember.headers.get('x-dump-source'),
      asMember.headers.get('location'),
    ]).toEqual([200, 'live', null]);
    expect((await ask(`${serving.url}/datastore/dump/${open}`)).status).toBe(404);
  });

  it('P9: leads out of the public prefix by no spelling of a path', async () => {
    const serving = await serve({ DUMPER_PUBLIC_BLOB_URL: 'https://cdn.example' });
    const keys = await Array.fromAsync(serving.store.list(''));
    const key = keys.find((listed) => listed.key.startsWith(hidden) && listed.key.endsWith('.csv'))?.key;
    for (const path of [
      `public/..%2F${key}`,
      `public%2F%2E%2E/${key}`,
      `public/.%2F..%2F${key}`,
      'public//x',
    ]) {
      expect([path, (await ask(`${serving.url}/blobs/${path}`)).status]).toEqual([path, 404]);
    }
  });

  it('P6: a blob that the store has lost is answered live', async () => {
    const serving = await serve({ DUMPER_DELIVERY: 'stream' });
    const before = await ask(`${serving.url}/datastore/dump/${open}`);
    expect([before.status, before.headers.get('x-dump-source')]).toEqual([200, 'blob']);
    const keys = (await Array.fromAsync(serving.store.list('')))
      .map(({ key }) => key)
      .filter((key) => key.endsWith('.csv'));
    await serving.store.delete(keys);
    const after = await ask(`${serving.url}/datastore/dump/${open}`);
    expect([after.status, after.headers.get('x-dump-source'), after.text]).toEqual([
      200,
      'live',
      before.text,
    ]);
  });
});

describe('file names', () => {
  it('follow the template by every way of delivery', async () => {
    const serving = await serve({ DUMPER_FILENAME: 'Portal/{date}-{name}.{ext}' });
    const name = `attachment; filename="Portal_${new Date().toISOString().slice(0, 10)}-${open}.csv"`;
    const redirect = await ask(`${serving.url}/datastore/dump/${open}`);
    const blob = await ask(new URL(redirect.headers.get('location') ?? '', serving.url).href);
    const live = await ask(`${serving.url}/datastore/dump/${open}?latest=true`);
    const streamed = await ask(`${serving.url}/datastore/dump/${open}?redirect=false`);
    for (const answer of [blob, live, streamed]) expect(answer.headers.get('content-disposition')).toBe(name);
  });
});

describe('x-accel through a real nginx', () => {
  it("gives the blob's bytes by one plain answer, ranges too, and no address of the store", async (context) => {
    const serving = await serve({ DUMPER_DELIVERY: 'x-accel' });
    const nginx = await startNginx(
      (port) => `
      server {
        listen 127.0.0.1:${port};
        location / { proxy_pass http://127.0.0.1:${serving.port}; proxy_http_version 1.1; proxy_set_header Connection ""; }
        location /blobs/ { internal; proxy_pass http://127.0.0.1:${serving.port}; proxy_http_version 1.1; proxy_set_header Connection ""; }
      }`,
    );
    if (nginx === null) return context.skip('no nginx here');
    running.push(nginx);
    const plain = await ask(`${nginx.url}/datastore/dump/${open}`);
    const live = await ask(`${serving.url}/datastore/dump/${open}?latest=true`);
    expect([plain.status, plain.text]).toEqual([200, live.text]);
    expect(plain.headers.get('content-disposition')).toBe(live.headers.get('content-disposition'));
    expect(plain.headers.get('x-accel-redirect')).toBeNull();
    const part = await ask(`${nginx.url}/datastore/dump/${open}`, { headers: { range: 'bytes=5-14' } });
    expect([part.status, part.text]).toEqual([206, live.text.slice(5, 15)]);
    expect((await ask(`${nginx.url}/datastore/dump/${hidden}`)).status).toBe(404);
    const privately = await ask(`${nginx.url}/datastore/dump/${hidden}`, member);
    expect([privately.status, privately.headers.get('cache-control')?.includes('private, no-store')]).toEqual(
      [200, true],
    );
    expect(plain.headers.get('cache-control')).not.toContain('immutable');
  });

  it("P9: two callers through a caching nginx never see each other's answer", async (context) => {
    const serving = await serve({});
    const nginx = await startNginx(
      (port, directory) => `
      proxy_cache_path ${directory}/cache keys_zone=dumps:1m;
      server {
        listen 127.0.0.1:${port};
        location / { proxy_pass http://127.0.0.1:${serving.port}; proxy_http_version 1.1; proxy_set_header Connection "";
          proxy_cache dumps; proxy_cache_valid 200 302 404 10m; proxy_cache_revalidate on; add_header X-Cache $upstream_cache_status; }
      }`,
    );
    if (nginx === null) return context.skip('no nginx here');
    running.push(nginx);
    for (let round = 0; round < 3; round += 1) {
      for (const query of ['', '?limit=1', '?redirect=false']) {
        const url = `${nginx.url}/datastore/dump/${hidden}${query}`;
        expect((await ask(url, member)).status).toBeLessThan(400);
        expect((await ask(url)).status).toBe(404);
        expect((await ask(url, { headers: { authorization: 'token-outsider' } })).status).toBe(404);
        expect((await ask(url, member)).status).toBeLessThan(400);
      }
    }
    const url = `${nginx.url}/datastore/dump/${open}`;
    expect((await ask(url)).status).toBe(302);
    await serving.owner.query(`DELETE FROM "${open}" WHERE n = 1`);
    const changed = await ask(url);
    expect([changed.status, changed.headers.get('x-dump-source')]).toEqual([200, 'live']);
  });

  it('P19: a live answer that breaks off is broken through nginx too, by HTTP/1.0 and 1.1', async (context) => {
    const serving = await serve({});
    const big = 'e0000000-0000-4000-8000-000000000003';
    // More than every socket's buffers hold, so that the answer is under way when it breaks.
    await serving.createTable(big, 150_000);
    for (const http of ['1.0', '1.1']) {
      const nginx = await startNginx(
        (port) => `
        server {
          listen 127.0.0.1:${port};
          location / { proxy_pass http://127.0.0.1:${serving.port}; proxy_http_version ${http}; proxy_set_header Connection "";
            proxy_max_temp_file_size 0; }
        }`,
      );
      if (nginx === null) return context.skip('no nginx here');
      running.push(nginx);
      const response = await fetch(`${nginx.url}/datastore/dump/${big}`);
      const reader = response.body?.getReader();
      await reader?.read();
      await serving.killLive();
      const drained = (async () => {
        while (!(await reader?.read())?.done);
      })();
      await expect(drained).rejects.toThrow();
    }
  });
});
