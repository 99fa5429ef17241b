/** A real nginx or Apache with a recipe of `docs/fronts`, before two small servers that show what reached them. */
import { spawn, spawnSync, type ChildProcess } from 'node:child_process';
import { once } from 'node:events';
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { createServer, request, type IncomingMessage, type RequestListener, type Server } from 'node:http';
import type { AddressInfo } from 'node:net';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { afterEach, expect } from 'vitest';
import { textOf } from '../house/tree.ts';
import { eventually } from '../world/eventually.ts';
import { freePort } from '../world/free-port.ts';

const installed = (...names: string[]): string | null =>
  names.find((name) => spawnSync(name, ['-v']).status === 0) ?? null;

/** The programs, or null where there is none. */
export const nginx = installed('nginx', '/usr/sbin/nginx');
export const apache = installed('apache2', '/usr/sbin/apache2', 'httpd');

const ending: (() => Promise<void>)[] = [];
afterEach(async () => {
  for (const end of ending.splice(0).toReversed()) await end();
});

/** A server on loopback that ends with the test. */
export async function listening(
  answer: RequestListener,
  port = 0,
): Promise<{ readonly port: number; stop(): Promise<void> }> {
  const server: Server = createServer(answer);
  server.listen(port, '127.0.0.1');
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

/** A server as the service is: it says that it is alive, and answers all else by `answer`. */
export const dumping = (answer: RequestListener): ReturnType<typeof listening> =>
  listening((incoming, outgoing) => {
    if (incoming.url === '/healthz') outgoing.end('ok');
    else answer(incoming, outgoing);
  });

/** A recipe with the addresses of this test in place of its own. */
const recipeOf = (name: string, ckanPort: number, ...dumperPorts: number[]): string =>
  textOf(`docs/fronts/${name}`)
    .replaceAll('ckan:5000', `127.0.0.1:${ckanPort}`)
    .replaceAll(/^( *)server datastore-dumper:8000 (.*)$/gm, (_line, indent: string, options: string) =>
      dumperPorts.map((port) => `${indent}server 127.0.0.1:${port} ${options}`).join('\n'),
    )
    .replaceAll('datastore-dumper:8000', `127.0.0.1:${dumperPorts[0]}`);

/** Run a recipe of nginx before one or several processes of the service. */
export async function front(recipe: string, ckanPort: number, ...dumperPorts: number[]): Promise<number> {
  const port = await freePort();
  const site = recipeOf(recipe, ckanPort, ...dumperPorts);
  await startNginx(port, () => site.replaceAll('listen 80;', `listen 127.0.0.1:${port};`));
  return port;
}

/** Run a recipe of nginx beside a site that is enabled already; what nginx warns of can be read. */
export async function frontBeside(
  other: (port: number) => string,
  recipe: string,
  ckanPort: number,
  dumperPort: number,
): Promise<{ readonly port: number; warnings(): string[] }> {
  const port = await freePort();
  const site = recipeOf(recipe, ckanPort, dumperPort).replaceAll('listen 80;', `listen 127.0.0.1:${port};`);
  const log = await startNginx(port, () => `${site}\n${other(port)}`);
  return { port, warnings: () => log().match(/^.*\[(warn|alert|emerg)\].*$/gm) ?? [] };
}

/** Run the recipe of two files in a site that was there before. `site` gets the locations and what it writes files to. */
export async function frontOfSite(
  ckanPort: number,
  dumperPort: number,
  site: (port: number, include: string, directory: string) => string,
): Promise<number> {
  const port = await freePort();
  await startNginx(port, (directory) => {
    const locations = path.join(directory, 'nginx-locations.conf');
    writeFileSync(locations, recipeOf('nginx-locations.conf', ckanPort, dumperPort));
    const upstreams = recipeOf('nginx-upstreams.conf', ckanPort, dumperPort);
    return `${upstreams}\n${site(port, `include ${locations};`, directory)}`;
  });
  return port;
}

/** Run nginx with what belongs into its `http` block; gives its error log. */
async function startNginx(port: number, http: (directory: string) => string): Promise<() => string> {
  const directory = mkdtempSync(path.join(tmpdir(), 'dumper-nginx-'));
  const step = await freePort();
  const server = http(directory)
    .replaceAll('127.0.0.1:8081', `127.0.0.1:${step}`)
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
  const log = `${directory}/error.log`;
  const running = spawn(nginx ?? '', ['-c', configuration, '-p', directory, '-e', log], { stdio: 'ignore' });
  await answers(running, port, directory);
  return () => readFileSync(log, 'utf8');
}

/** Run Apache's recipe in a virtual host whose own ProxyPass leads to CKAN. */
export async function apacheFront(ckanPort: number, dumperPort: number): Promise<number> {
  const directory = mkdtempSync(path.join(tmpdir(), 'dumper-apache-'));
  const port = await freePort();
  const names =
    'mpm_event authz_core proxy proxy_http headers env slotmem_shm proxy_balancer lbmethod_byrequests';
  const modules = names
    .split(' ')
    .map((name) => `LoadModule ${name}_module /usr/lib/apache2/modules/mod_${name}.so`);
  const configuration = path.join(directory, 'apache.conf');
  writeFileSync(
    configuration,
    `ServerRoot ${directory}
${modules.join('\n')}
Listen 127.0.0.1:${port}
ServerName localhost
PidFile ${directory}/pid
DefaultRuntimeDir ${directory}
ErrorLog ${directory}/error.log
${process.getuid?.() === 0 ? 'User www-data\nGroup www-data' : ''}
<VirtualHost *:${port}>
${recipeOf('apache.conf', ckanPort, dumperPort)}
ProxyPass "/" "http://127.0.0.1:${ckanPort}/" nocanon
</VirtualHost>
`,
  );
  const running = spawn(apache ?? '', ['-f', configuration, '-DFOREGROUND'], { stdio: 'ignore' });
  await answers(running, port, directory);
  return port;
}

/** Wait until a front answers, and end it with the test. */
async function answers(running: ChildProcess, port: number, directory: string): Promise<void> {
  ending.push(async () => {
    const exit = running.exitCode === null ? once(running, 'exit') : Promise.resolve();
    running.kill('SIGTERM');
    await exit;
    rmSync(directory, { recursive: true, force: true });
  });
  await eventually(
    'the front answers or says why not',
    async () => {
      if (running.exitCode !== null) return true;
      return (await ask(port, '/up')).status > 0;
    },
    { seconds: 25 },
  );
  expect(running.exitCode, readFileSync(path.join(directory, 'error.log'), 'utf8')).toBeNull();
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

/** What reached the server that a front's answer came from. */
export async function shown(
  port: number,
  target: string,
  headers: Record<string, string> = {},
): Promise<Shown> {
  return JSON.parse((await ask(port, target, headers)).body) as Shown;
}

export interface Shown {
  readonly name: string;
  readonly url: string;
  readonly version: string;
  readonly headers: Record<string, string>;
}
