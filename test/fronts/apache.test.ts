/** The Apache recipe of `docs/fronts`: what goes where, and what comes back when something breaks. */
import { once } from 'node:events';
import { connect } from 'node:net';
import { text } from 'node:stream/consumers';
import { describe, expect, it } from 'vitest';
import { eventually } from '../world/eventually.ts';
import { apache, apacheFront, ask, listening, shown, shows } from './front.ts';

describe.skipIf(apache === null)(
  'Apache before CKAN and the sidecar (skipped where there is no Apache)',
  () => {
    it('only the dump goes to the sidecar, exactly as it was sent', async () => {
      const ckan = await listening(shows('ckan'));
      const dumper = await listening(shows('dumper'));
      const port = await apacheFront(ckan.port, dumper.port);
      for (const target of [
        '/',
        '/dataset/x',
        '/datastore/dumps',
        '/datastore/dictionary/x',
        '/x/datastore/dump/y',
      ])
        expect(await shown(port, target)).toMatchObject({ name: 'ckan', url: target });
      const caller = {
        Authorization: 'token',
        Cookie: 'ckan=session',
        Range: 'bytes=0-9',
        'If-None-Match': '"x"',
        'X-Request-ID': 'of-the-caller',
        Host: 'data.example.org',
      };
      for (const target of [
        '/datastore/dump/x?format=csv&bom=True',
        '/fr/datastore/dump/a%20b%2Fc?q=%C3%A9',
        '/pt_BR/datastore/dump/y',
        '/blobs/x/1/x%20y.csv?signature=a%2Fb',
      ]) {
        const reached = await shown(port, target, caller);
        expect(reached).toMatchObject({ name: 'dumper', url: target, version: '1.1' });
        expect(reached.headers).toMatchObject({
          authorization: 'token',
          cookie: 'ckan=session',
          range: 'bytes=0-9',
          'if-none-match': '"x"',
          'x-request-id': 'of-the-caller',
          host: 'data.example.org',
        });
      }
      expect((await ask(port, '/datastore/dump/x', caller)).headers['set-cookie']).toEqual(['seen=1']);
    });

    it('a redirect, a 304, a range, HEAD and a plain 503 pass as they are', async () => {
      const ckan = await listening(shows('ckan'));
      const given = { 'X-Dump-Source': 'blob', ETag: '"x"', Location: 'https://store.example/a%2Fb?X=1%2F2' };
      const dumper = await listening((incoming, answer) => {
        const status = Number(/\d+$/.exec(incoming.url ?? '')?.[0]);
        answer.writeHead(status, { ...given, ...(status === 503 ? { 'Retry-After': '5' } : {}) });
        answer.end(status === 304 || incoming.method === 'HEAD' ? undefined : `plain ${status}\n`);
      });
      const port = await apacheFront(ckan.port, dumper.port);
      for (const status of [302, 304, 206, 503]) {
        const answer = await ask(port, `/datastore/dump/${status}`);
        expect([answer.status, answer.headers['etag']]).toEqual([status, '"x"']);
        if (status !== 304) expect(answer.body).toBe(`plain ${status}\n`);
        if (status === 302) expect(answer.headers.location).toBe(given.Location);
        if (status === 503) expect(answer.headers['retry-after']).toBe('5');
      }
      const head = await ask(port, '/datastore/dump/200', {}, 'HEAD');
      expect([head.status, head.headers['x-dump-source'], head.body]).toEqual([200, 'blob', '']);
    });

    it('a live answer streams: its beginning is there before its end is written', async () => {
      const ckan = await listening(shows('ckan'));
      const { promise: begun, resolve: begin } = Promise.withResolvers<void>();
      const dumper = await listening((incoming, answer) => {
        if (incoming.url === '/datastore/dump/x') answer.write('a,b\r\n'.repeat(3000));
        void begun.then(() => answer.end('end'));
      });
      const port = await apacheFront(ckan.port, dumper.port);
      const socket = connect(port, '127.0.0.1');
      socket.write('GET /datastore/dump/x HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n');
      const [first] = (await once(socket, 'data')) as [Buffer];
      expect(first.toString()).toContain('200 OK');
      begin();
      expect(await text(socket)).toMatch(/end\r\n0\r\n\r\n$/);
    });

    it("a service that is gone leaves CKAN's own dump, and is used again when it is back", async () => {
      const ckan = await listening(shows('ckan'));
      const dumper = await listening(shows('dumper'));
      const port = await apacheFront(ckan.port, dumper.port);
      await dumper.stop();
      const target = '/datastore/dump/a%20b%2Fc?q=%C3%A9';
      expect(await shown(port, target)).toMatchObject({ name: 'ckan', url: target });
      expect((await ask(port, '/dataset/x')).status).toBe(200);
      await listening(shows('dumper'), dumper.port);
      await eventually(
        'the service answers again',
        async () => (await shown(port, target)).name === 'dumper',
        { seconds: 30 },
      );
    });

    it('P19: an answer that the sidecar resets is broken for the client of Apache too', async () => {
      const ckan = await listening(shows('ckan'));
      const dumper = await listening((_incoming, answer) => {
        answer.write('a,b\r\n'.repeat(20_000), () => answer.socket?.resetAndDestroy());
      });
      const port = await apacheFront(ckan.port, dumper.port);
      await expect(ask(port, '/datastore/dump/x')).rejects.toThrow(/aborted|reset|hang up/i);
    });
  },
);
