/** The nginx recipes of `docs/fronts`: what goes where, and what comes back when something breaks. */
import { describe, expect, it } from 'vitest';
import { ask, dumping, front, listening, nginx, shown, shows, type Shown } from './front.ts';

describe.skipIf(nginx === null)('nginx before CKAN and the sidecar (skipped where there is no nginx)', () => {
  it.each(['nginx.conf', 'nginx-caching.conf'])(
    '%s: only the dump goes to the sidecar, exactly as it was sent',
    async (recipe) => {
      const ckan = await listening(shows('ckan'));
      const dumper = await listening(shows('dumper'));
      const port = await front(recipe, ckan.port, dumper.port);
      for (const target of [
        '/',
        '/dataset/x',
        '/datastore/dumps',
        '/api/3/action/datastore_search?resource_id=x',
        '/datastore/dictionary/x',
      ]) {
        expect(await shown(port, target)).toMatchObject({ name: 'ckan', url: target });
      }
      const caller = {
        Authorization: 'token',
        Cookie: 'ckan=session',
        Range: 'bytes=0-9',
        'If-None-Match': '"x"',
        'Accept-Encoding': 'zstd',
      };
      for (const target of [
        '/datastore/dump/x?format=csv&bom=True',
        '/fr/datastore/dump/a%20b%2Fc?q=%C3%A9',
        '/pt_BR/datastore/dump/y',
        ...(recipe === 'nginx.conf' ? ['/blobs/x/1/x.csv?signature=a%2Fb'] : []),
      ]) {
        const reached = await shown(port, target, { ...caller, Host: 'data.example.org' });
        expect(reached).toMatchObject({ name: 'dumper', url: target, version: '1.1' });
        expect(reached.headers).toMatchObject({
          authorization: 'token',
          cookie: 'ckan=session',
          host: 'data.example.org',
        });
        expect(reached.headers['x-request-id']).toMatch(/^[0-9a-f]{32}$/);
        if (recipe === 'nginx.conf')
          expect(reached.headers).toMatchObject({ range: 'bytes=0-9', 'if-none-match': '"x"' });
      }
      expect((await ask(port, '/datastore/dump/x', caller)).headers['set-cookie']).toEqual(['seen=1']);
    },
  );

  it('P19: an answer that the sidecar resets is broken for the client of nginx too', async () => {
    const ckan = await listening(shows('ckan'));
    const dumper = await dumping((_incoming, answer) => {
      answer.write('a,b\r\n'.repeat(20_000), () => answer.socket?.resetAndDestroy());
    });
    const port = await front('nginx.conf', ckan.port, dumper.port);
    await expect(ask(port, '/datastore/dump/x')).rejects.toThrow(/aborted|reset|hang up/i);
  });

  it('fetches a blob from where the sidecar says, and gives the store nothing of the caller', async () => {
    const ckan = await listening(shows('ckan'));
    const store = await listening((incoming, answer) => {
      answer.setHeader('X-Amz-Request-Id', 'inner');
      answer.setHeader('ETag', '"blob"');
      answer.end(JSON.stringify({ name: 'store', url: incoming.url, headers: incoming.headers }));
    });
    const signed =
      '/bucket/a%20b/dump.csv?X-Amz-Signature=00ff&response-content-disposition=attachment%3B%20filename%3D%22a%22';
    const dumper = await dumping((_incoming, answer) => {
      answer.setHeader('X-Accel-Redirect', '/_dump_blob');
      answer.setHeader('X-Dump-Blob-Url', `http://127.0.0.1:${store.port}${signed}`);
      answer.setHeader('X-Dump-Revision', 'r7');
      answer.setHeader('Cache-Control', 'private, no-store');
      answer.end();
    });
    const port = await front('nginx-x-accel.conf', ckan.port, dumper.port);
    const answer = await ask(port, '/datastore/dump/x', {
      Authorization: 'token',
      Cookie: 'ckan=session',
      Range: 'bytes=0-9',
    });
    const reached = JSON.parse(answer.body) as Shown;
    expect(reached).toMatchObject({ name: 'store', url: signed, headers: { range: 'bytes=0-9' } });
    expect(reached.headers).not.toHaveProperty('authorization');
    expect(reached.headers).not.toHaveProperty('cookie');
    expect(answer.headers).toMatchObject({
      'x-dump-source': 'blob',
      'x-dump-revision': 'r7',
      'cache-control': 'private, no-store',
    });
    expect(answer.headers).not.toHaveProperty('x-amz-request-id');
    expect(answer.headers).not.toHaveProperty('x-dump-blob-url');
    expect((await ask(port, '/_dump_blob')).status).toBe(404);
  });
});
