/** The nginx recipes where a site is there already: Debian's default one, a portal with TLS; and their shared parts. */
import { spawnSync } from 'node:child_process';
import { once } from 'node:events';
import { request } from 'node:https';
import type { IncomingMessage } from 'node:http';
import { text } from 'node:stream/consumers';
import { describe, expect, it } from 'vitest';
import { textOf } from '../house/tree.ts';
import {
  ask,
  dumping,
  frontBeside,
  frontOfSite,
  listening,
  nginx,
  shown,
  shows,
  type Shown,
} from './front.ts';

const openssl = spawnSync('openssl', ['version']).status === 0;

/** What Debian enables when nginx is installed. */
const debianDefault = (port: number): string => `
server {
	listen 127.0.0.1:${port} default_server;
	root /var/www/html;
	index index.html index.htm index.nginx-debian.html;
	server_name _;
	location / {
		try_files $uri $uri/ =404;
	}
}`;

async function askTls(port: number, path: string): Promise<Shown> {
  const asked = request({ host: '127.0.0.1', port, path, rejectUnauthorized: false, agent: false });
  asked.end();
  const [answer] = (await once(asked, 'response')) as [IncomingMessage];
  return JSON.parse(await text(answer)) as Shown;
}

/** Directives without comments, indentation and empty lines. */
const directivesOf = (file: string): string =>
  textOf(`docs/fronts/${file}`)
    .split('\n')
    .map((line) => line.trim())
    .filter((line) => line !== '' && !line.startsWith('#'))
    .join('\n');

describe.skipIf(nginx === null)('nginx with sites of its own (skipped where there is no nginx)', () => {
  it.each(['nginx.conf', 'nginx-caching.conf', 'nginx-x-accel.conf'])(
    "%s stands beside Debian's default site, and nginx has nothing to warn of",
    async (recipe) => {
      const ckan = await listening(shows('ckan'));
      const dumper = await dumping(shows('dumper'));
      const { port, warnings } = await frontBeside(debianDefault, recipe, ckan.port, dumper.port);
      const portal = { Host: 'data.example.org' };
      expect(await shown(port, '/dataset/x', portal)).toMatchObject({ name: 'ckan' });
      expect(await shown(port, '/datastore/dump/x', portal)).toMatchObject({ name: 'dumper' });
      expect((await ask(port, '/datastore/dump/x', { Host: 'other.example.org' })).status).toBe(404);
      expect(warnings()).toEqual([]);
    },
  );

  it.skipIf(!openssl)('the two files go into a site with TLS, whose own locations stay', async () => {
    const ckan = await listening(shows('ckan'));
    const dumper = await dumping(shows('dumper'));
    const own = await listening(shows('own'));
    const port = await frontOfSite(ckan.port, dumper.port, (listen, include, directory) => {
      const key = `${directory}/key.pem`;
      const certificate = `${directory}/certificate.pem`;
      const made = spawnSync('openssl', [
        ...'req -x509 -newkey rsa:2048 -nodes -days 2 -subj /CN=data.example.org'.split(' '),
        '-keyout',
        key,
        '-out',
        certificate,
      ]);
      expect(made.status).toBe(0);
      return `server {
        listen 127.0.0.1:${listen} ssl;
        server_name data.example.org;
        ssl_certificate ${certificate};
        ssl_certificate_key ${key};
        ${include}
        location ~* \\.(csv|js)$ { return 410; }
        location / { proxy_pass http://127.0.0.1:${own.port}; }
      }`;
    });
    expect(await askTls(port, '/dataset/x')).toMatchObject({ name: 'own' });
    for (const target of ['/datastore/dump/x.csv', '/fr/datastore/dump/x', '/blobs/x/1/x.csv?signature=1']) {
      expect(await askTls(port, target)).toMatchObject({ name: 'dumper', url: target });
    }
    expect((await askTls(port, '/datastore/dump/x')).headers['x-forwarded-proto']).toBe('https');
    await dumper.stop();
    expect(await askTls(port, '/datastore/dump/x')).toMatchObject({ name: 'ckan' });
  });
});

describe('the recipes of nginx', () => {
  const upstreams = directivesOf('nginx-upstreams.conf');
  const locations = directivesOf('nginx-locations.conf');

  it('nginx.conf is the two files of a site that exists, and a server around them', () => {
    const site = directivesOf('nginx.conf');
    expect(site).toContain(upstreams);
    for (const location of locations.split(/\n(?=location )/)) expect(site).toContain(location);
  });

  it.each(['nginx-caching.conf', 'nginx-x-accel.conf'])('%s differs only by what it is for', (recipe) => {
    const site = directivesOf(recipe);
    expect(site).toContain(upstreams);
    const shared = locations.split(/\n(?=location )/).flatMap((location) => {
      const blobs = location.startsWith('location ^~ /blobs/');
      return blobs && recipe === 'nginx-caching.conf' ? [] : location.replace(/\n}$/, '').split('\n');
    });
    const lines = new Set(site.split('\n'));
    expect(shared.filter((line) => !lines.has(line))).toEqual([]);
  });
});
