/** The nginx recipes of `docs/fronts`, run by a real nginx before two small servers that show what reached them. */
import { spawn, spawnSync } from 'node:child_process';
import { once } from 'node:events';
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { createServer, request, type IncomingMessage, type RequestListener, type Server } from 'node:http';
import type { AddressInfo } from 'node:net';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { afterEach, describe, expect, it } from 'vitest';
import { textOf } from '../house/tree.ts';
import { recordCount } from '../world/counts.ts';
import { eventually } from '../world/eventually.ts';
import { freePort } from '../world/postgres-server.ts';

const nginx = ['nginx', '/usr/sbin/nginx'].find((name) => spawnSync(name, ['-v']).status === 0) ?? null;

const ending: (() => Promise<void>)[] = [];
afterEach(async () => {
  for (const end of ending.splice(0).toReversed()) await end();
});

async function listening(answer: RequestListener): Promise<{ readonly port: number; stop(): Promise<void> }> {
  const server: Server = createServer(answer);
  server.listen(0, '127.0.0.1');
  await once(server, 'listening');
  const stop = async (): Promise<void> => {
    if (!server.listening) return;
    server.close();
    server.closeAllConnections();
    await once(server, 'close');
  };
  ending.push(stop);
  return { port: (server.address() as AddressInfo).port, stop };
}

/** Run a recipe with the addresses of this test in place of its own. */
async function front(recipe: string, ckanPort: number, dumperPort: number): Promise<number> {
  const directory = mkdtempSync(path.join(tmpdir(), 'dumper-nginx-'));
  const port = await freePort();
  const server = textOf(`docs/fronts/${recipe}`)
    .replaceAll('ckan:5000', `127.0.0.1:${ckanPort}`)
    .replaceAll('datastore-dumper:8000', `127.0.0.1:${dumperPort}`)
    .replaceAll('listen 80;', `listen 127.0.0.1:${port};`)
    .replaceAll('/var/cache/nginx', directory);
  const paths = ['client_body', 'proxy', 'fastcgi', 'uwsgi', 'scgi'].map(
    (name) => `${name}_temp_path ${directory}/${name};`,
  );
  const head = `daemon off; pid ${directory}/pid; error_log ${directory}/error.log; ${process.getuid?.() === 0 ? 'user root;' : ''}`;
  const configuration = path.join(directory, 'nginx.conf');
  writeFileSync(
    configuration,
    `${head}\nevents {}\nhttp { access_log off; ${paths.join(' ')}\n${server}\n}\n`,
  );
  const running = spawn(nginx ?? '', ['-c', configuration, '-p', directory, '-e', `${directory}/error.log`], {
    stdio: 'ignore',
  });
  ending.push(async () => {
    const exit = running.exitCode === null ? once(running, 'exit') : Promise.resolve();
    running.kill('SIGTERM');
    await exit;
    rmSync(directory, { recursive: true, force: true });
  });
  await eventually(
    'nginx answers or says why not',
    async () => {
      if (running.exitCode !== null) return true;
      return (await ask(port, '/up')).status > 0;
    },
    15,
  );
  expect(running.exitCode, readFileSync(path.join(directory, 'error.log'), 'utf8')).toBeNull();
  return port;
}

interface Answer {
  readonly status: number;
  readonly headers: IncomingMessage['headers'];
  readonly body: string;
}

function ask(
  port: number,
  target: string,
  headers: Record<string, string> = {},
  method = 'GET',
): Promise<Answer> {
  return new Promise((resolve, reject) => {
    const asked = request(
      { host: '127.0.0.1', port, path: target, headers, method, agent: false },
      (answer) => {
        let body = '';
        answer.setEncoding('utf8');
        answer.on('data', (text: string) => (body += text));
        answer.on('end', () => resolve({ status: answer.statusCode ?? 0, headers: answer.headers, body }));
        answer.on('error', reject);
      },
    );
    asked.on('error', reject);
    asked.end();
  });
}

const shows =
  (name: string): RequestListener =>
  (incoming, answer) => {
    answer.setHeader('Set-Cookie', 'seen=1');
    answer.end(
      JSON.stringify({
        name,
        url: incoming.url,
        method: incoming.method,
        version: incoming.httpVersion,
        headers: incoming.headers,
      }),
    );
  };

interface Shown {
  readonly name: string;
  readonly url: string;
  readonly version: string;
  readonly headers: Record<string, string>;
}

describe.skipIf(nginx === null)('nginx before CKAN and the sidecar (skipped where there is no nginx)', () => {
  it.each(['nginx.conf', 'nginx-caching.conf'])(
    '%s: only the dump goes to the sidecar, exactly as it was sent',
    async (recipe) => {
      const ckan = await listening(shows('ckan'));
      const dumper = await listening(shows('dumper'));
      const port = await front(recipe, ckan.port, dumper.port);
      const shown = async (target: string, headers = {}): Promise<Shown> =>
        JSON.parse((await ask(port, target, headers)).body) as Shown;
      for (const target of [
        '/',
        '/dataset/x',
        '/datastore/dumps',
        '/api/3/action/datastore_search?resource_id=x',
        '/datastore/dictionary/x',
      ]) {
        expect(await shown(target)).toMatchObject({ name: 'ckan', url: target });
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
      ]) {
        const reached = await shown(target, { ...caller, Host: 'data.example.org' });
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

  it("a sidecar that is gone leaves CKAN's own dump; its own 503 goes to the client", async () => {
    const ckan = await listening(shows('ckan'));
    const dumper = await listening((_incoming, answer) => {
      answer.writeHead(503, { 'Retry-After': '5' });
      answer.end('busy\n');
    });
    const port = await front('nginx.conf', ckan.port, dumper.port);
    expect(await ask(port, '/datastore/dump/x')).toMatchObject({
      status: 503,
      body: 'busy\n',
      headers: { 'retry-after': '5' },
    });
    await dumper.stop();
    expect(JSON.parse((await ask(port, '/datastore/dump/x')).body)).toMatchObject({
      name: 'ckan',
      url: '/datastore/dump/x',
    });
  });

  it('P19: an answer that the sidecar resets is broken for the client of nginx too', async () => {
    const ckan = await listening(shows('ckan'));
    const dumper = await listening((_incoming, answer) => {
      answer.write('a,b\r\n'.repeat(20_000), () => answer.socket?.resetAndDestroy());
    });
    const port = await front('nginx.conf', ckan.port, dumper.port);
    await expect(ask(port, '/datastore/dump/x')).rejects.toThrow(/aborted|reset|hang up/i);
  });

  it('P9: through a caching nginx no caller ever sees the answer of another', async () => {
    const ckan = await listening(shows('ckan'));
    let asked = 0;
    const dumper = await listening((incoming, answer) => {
      asked += 1;
      const caller = incoming.headers.authorization ?? incoming.headers.cookie ?? 'anonymous';
      const open = incoming.url?.includes('open') ?? false;
      answer.setHeader(
        'Cache-Control',
        open && caller === 'anonymous' ? 'public, max-age=60' : 'private, no-store',
      );
      answer.setHeader('Vary', 'Authorization, Cookie');
      if (!open && caller === 'anonymous') answer.statusCode = 404;
      answer.end(`for ${caller}`);
    });
    const port = await front('nginx-caching.conf', ckan.port, dumper.port);
    const callers = [
      {},
      { Authorization: 'ann' },
      { Cookie: 'bob' },
      {},
      { Authorization: 'eve' },
      { Cookie: 'bob' },
      { Authorization: 'ann' },
    ];
    let answers = 0;
    for (const target of ['/datastore/dump/open', '/datastore/dump/closed']) {
      for (const headers of [...callers, ...callers.toReversed()] as Record<string, string>[]) {
        const caller = headers['Authorization'] ?? headers['Cookie'] ?? 'anonymous';
        expect((await ask(port, target, headers)).body).toBe(`for ${caller}`);
        answers += 1;
      }
    }
    const before = asked;
    expect((await ask(port, '/datastore/dump/open')).headers['x-cache-status']).toBe('HIT');
    expect(asked).toBe(before);
    recordCount('P9', 'answers through a caching nginx', answers);
  });

  it('a cached dump that must be revalidated is asked for at every use', async () => {
    const ckan = await listening(shows('ckan'));
    let revision = 'one';
    const seen: (string | undefined)[] = [];
    const dumper = await listening((incoming, answer) => {
      seen.push(incoming.headers['if-none-match']);
      answer.setHeader('ETag', `"${revision}"`);
      answer.setHeader('Cache-Control', 'public, max-age=0, must-revalidate');
      if (incoming.headers['if-none-match'] === `"${revision}"`) answer.statusCode = 304;
      answer.end(answer.statusCode === 304 ? undefined : revision);
    });
    const port = await front('nginx-caching.conf', ckan.port, dumper.port);
    expect((await ask(port, '/datastore/dump/x')).body).toBe('one');
    expect((await ask(port, '/datastore/dump/x')).body).toBe('one');
    revision = 'two';
    expect((await ask(port, '/datastore/dump/x')).body).toBe('two');
    expect(seen).toHaveLength(3);
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
    const dumper = await listening((_incoming, answer) => {
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
