/** The dump's route but for its bytes: methods, origins, locales, odd ids and names (promise P17). */
import { request } from 'node:http';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { ask, startServing, type Serving } from './serving.ts';

let serving: Serving;
const id = 'd0000000-0000-4000-8000-000000000001';
const odd = 'odd "name"; é 😀 %0d';

beforeAll(async () => {
  serving = await startServing({
    version: '2.11',
    environment: {
      DUMPER_ADMIN_TOKEN: 'the-admin-token',
      CKAN__CORS__ORIGIN_WHITELIST: 'https://one.example https://two.example',
    },
  });
  await serving.createTable(id, 2);
  await serving.owner.query(`CREATE VIEW "${odd.replaceAll('"', '""')}" AS SELECT * FROM "${id}"`);
  await serving.publish(id);
});
afterAll(() => serving.close());

/** The status of a request whose target goes out as it is. */
function statusOf(
  path: string,
  method = 'GET',
): Promise<{ status: number; allow: string | undefined; length: string | undefined }> {
  return new Promise((resolve, reject) => {
    const outgoing = request({ port: serving.port, path, method, agent: false }, (response) => {
      response.resume();
      response.once('end', () =>
        resolve({
          status: response.statusCode ?? 0,
          allow: response.headers.allow,
          length: response.headers['content-length'],
        }),
      );
    });
    outgoing.once('error', reject);
    outgoing.end();
  });
}

describe('the dump route', () => {
  it('takes GET, HEAD and OPTIONS', async () => {
    for (const method of ['POST', 'PUT', 'DELETE', 'PATCH', 'TRACE', 'PROPFIND']) {
      const answer = await statusOf(`/datastore/dump/${id}?limit=1`, method);
      expect([method, answer.status, answer.allow]).toEqual([method, 405, 'OPTIONS, GET, HEAD']);
    }
    expect(await statusOf(`/fr/datastore/dump/${id}`, 'OPTIONS')).toEqual({
      status: 200,
      allow: 'OPTIONS, GET, HEAD',
      length: '0',
    });
  });

  it("knows CKAN's locales and no other prefix", async () => {
    for (const locale of ['fr', 'pt_BR', 'zh_Hant_TW', 'en', 'sr_Latn']) {
      expect([locale, (await statusOf(`/${locale}/datastore/dump/${id}?limit=1`)).status]).toEqual([
        locale,
        200,
      ]);
    }
    for (const path of [
      `/xx/datastore/dump/${id}`,
      `//fr/datastore/dump/${id}`,
      `/fr//fr/datastore/dump/${id}`,
      `/fr/fr/datastore/dump/${id}`,
      `/FR/datastore/dump/${id}`,
    ]) {
      expect([path, (await statusOf(path)).status]).toEqual([path, 404]);
    }
  });

  it('slashes at the beginning, or behind the locale, count as one, and no others', async () => {
    for (const front of ['//', '///', '/fr//', '/fr///', '/%2F', '/fr%2F/']) {
      const answer = await statusOf(`${front}datastore/dump/${id}?limit=1`);
      expect([front, answer.status]).toEqual([front, 200]);
    }
    for (const path of [`/datastore//dump/${id}`, `/datastore/dump//${id}`, `/fr/datastore//dump/${id}`]) {
      expect([path, (await statusOf(path)).status]).toEqual([path, 404]);
    }
  });

  it('404 for what is no id, whatever its bytes; never a 5xx', async () => {
    const ids = [
      '',
      '%00',
      `${id}%00`,
      '%ff',
      '%zz',
      '..',
      '.',
      `${id}/`,
      `${id}%0A`,
      `%2F${id}`,
      'a%2Fb',
      '%27%20or%201=1',
      '_internal',
    ];
    for (const one of [...ids, '%E6%97%A5', 'x'.repeat(200), `${id};x=1`, 'pg_class', '%C3%28', '%22%3B--']) {
      expect([one, (await statusOf(`/datastore/dump/${one}`)).status]).toEqual([one, 404]);
    }
    expect((await statusOf(`/datastore//dump/${id}`)).status).toBe(404);
    expect((await statusOf(`/Datastore/dump/${id}`)).status).toBe(404);
    expect((await statusOf(`http://elsewhere.example/datastore/dump/${id}?limit=1`)).status).toBe(200);
  });

  it('P17: a name cannot add a header; it comes out as RFC 6266 has it', async () => {
    const answer = await ask(`${serving.url}/datastore/dump/${encodeURIComponent(odd)}?limit=1`);
    const disposition = answer.headers.get('content-disposition') ?? '';
    expect(answer.status).toBe(200);
    expect(disposition).toMatch(/^attachment; filename="[^"]*(?:\\"[^"]*)*"; filename\*=UTF-8''/);
    expect(decodeURIComponent(disposition.split("UTF-8''")[1] ?? '')).toBe(`${odd}.csv`);
    const redirect = await ask(`${serving.url}/datastore/dump/${encodeURIComponent(odd)}`);
    const blob = await ask(new URL(redirect.headers.get('location') ?? '', serving.url).href);
    expect([redirect.status, blob.status, blob.headers.get('content-disposition')]).toEqual([
      302,
      200,
      disposition,
    ]);
  });

  it('cross-origin: the whitelist, and only to those who name an origin', async () => {
    const url = `${serving.url}/datastore/dump/${id}?limit=1`;
    const one = await ask(url, { headers: { origin: 'https://one.example' } });
    expect(one.headers.get('access-control-allow-origin')).toBe('https://one.example');
    expect(one.headers.get('access-control-allow-headers')).toBe('Authorization, Content-Type');
    expect(
      (await ask(url, { headers: { origin: 'https://evil.example' } })).headers.get(
        'access-control-allow-origin',
      ),
    ).toBeNull();
    const plain = await ask(url);
    expect(plain.headers.get('access-control-allow-origin')).toBeNull();
    expect(plain.headers.get('vary')).toContain('Origin');
  });

  it('refuses bad parameters in plain text, existence first in 2.11', async () => {
    const bad = await ask(`${serving.url}/datastore/dump/${id}?limit=x&offset=y`);
    expect([bad.status, bad.text]).toEqual([400, 'limit: Invalid integer\noffset: Invalid integer\n']);
    expect(bad.headers.get('content-type')).toBe('text/plain; charset=utf-8');
    expect((await ask(`${serving.url}/datastore/dump/nope?limit=x`)).status).toBe(404);
    const fields = await ask(`${serving.url}/datastore/dump/${id}?fields=nope`);
    expect([fields.status, fields.text.startsWith('fields:')]).toEqual([400, true]);
    const literal = await ask(`${serving.url}/datastore/dump/${id}?filters={"n":"x"}`);
    expect([literal.status, literal.text.startsWith('filters:')]).toEqual([400, true]);
  });

  it('keeps a sane request id, makes one otherwise, and logs one line without the query', async () => {
    const given = await ask(`${serving.url}/datastore/dump/${id}?q=secret-words`, {
      headers: { 'x-request-id': 'abc-1' },
    });
    expect(given.headers.get('x-request-id')).toBe('abc-1');
    const made = await ask(`${serving.url}/datastore/dump/${id}`, { headers: { 'x-request-id': 'a b"c' } });
    expect(made.headers.get('x-request-id')).toMatch(/^[0-9a-f-]{36}$/);
    expect(serving.log.filter((line) => line.includes('"request":"abc-1"')).length).toBe(1);
    expect(serving.log.join('\n')).not.toContain('secret-words');
  });
});
