/** A real nginx with a recipe of `docs/fronts`, before two small servers that show what reached them. */
import { spawn, spawnSync } from 'node:child_process';
import { once } from 'node:events';
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { createServer, request, type IncomingMessage, type RequestListener, type Server } from 'node:http';
import type { AddressInfo } from 'node:net';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { afterEach, expect } from 'vitest';
import { textOf } from '../house/tree.ts';
import { eventually } from '../world/eventually.ts';
import { freePort } from '../world/postgres-server.ts';

/** The program, or null where there is none. */
export const nginx =
  ['nginx', '/usr/sbin/nginx'].find((name) => spawnSync(name, ['-v']).status === 0) ?? null;

const ending: (() => Promise<void>)[] = [];
afterEach(async () => {
  for (const end of ending.splice(0).toReversed()) await end();
});

/** A server on loopback that ends with the test. */
export async function listening(
  answer: RequestListener,
): Promise<{ readonly port: number; stop(): Promise<void> }> {
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
export async function front(recipe: string, ckanPort: number, dumperPort: number): Promise<number> {
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

export interface Answer {
  readonly status: number;
  readonly headers: IncomingMessage['headers'];
  readonly body: string;
}

export function ask(
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

/** Answers with what reached it. */
export const shows =
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

export interface Shown {
  readonly name: string;
  readonly url: string;
  readonly version: string;
  readonly headers: Record<string, string>;
}
