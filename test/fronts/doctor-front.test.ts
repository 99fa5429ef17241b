/** `doctor --front` before real web servers: the recipes pass, and each that somebody broke is told, with what is wrong. */
import { afterAll, beforeAll, describe, expect, it, vi } from 'vitest';
import { signFrontProbe } from '../../src/front-probe.ts';
import { examined, type Examined } from '../cli/examined.ts';
import { eventually } from '../world/eventually.ts';
import { serviceFixture, type ServiceFixture } from '../world/service.ts';
import { apache, apacheFront, frontChanged, listening, nginx } from './front.ts';

// each test starts a web server and examines everything
vi.setConfig({ testTimeout: 60_000 });

let installation: ServiceFixture;
let service: { readonly base: string; readonly port: number };

beforeAll(async () => {
  installation = await serviceFixture({ settings: { DUMPER_ADMIN_TOKEN: 'the token of an admin' } });
  await installation.createTable('trees', 3);
  const { base } = await installation.start();
  service = { base, port: Number(new URL(base).port) };
  await eventually('it is published', () => installation.manifest('trees'), { seconds: 30 });
});
afterAll(() => installation.end());

/** CKAN has a page for everything. */
const ckan = (): ReturnType<typeof listening> =>
  listening((_incoming, answer) => {
    answer.writeHead(404, { 'content-type': 'text/html' }).end('<html>Not found');
  });

async function examine(port: number, settings: Record<string, string> = {}): Promise<Examined> {
  return examined({ ...installation.settings, ...settings }, `http://127.0.0.1:${port}`);
}

const subjects = ['dumps', 'a table', 'blobs', 'requests', 'fallback', 'buffering'].map(
  (name) => `front, ${name}`,
);
const fails = (subject: string, says: RegExp, text: string): void => {
  expect(
    text.split('\n').find((line) => line.startsWith(`[FAIL] ${subject}:`)),
    text,
  ).toMatch(says);
};

describe.skipIf(nginx === null)('before nginx (skipped where there is none)', () => {
  const unchanged = (text: string): string => text;
  const before = async (change: (text: string) => string, recipe = 'nginx.conf'): Promise<Examined> =>
    examine(await frontChanged(recipe, change, (await ckan()).port, service.port));

  it('the recipe passes in everything', async () => {
    const { failed, text } = await before(unchanged);
    expect(failed, text).toEqual([]);
    for (const subject of subjects) expect(text).toContain(`[ ok ] ${subject}:`);
    expect(text).toContain('trees is given by a redirect that leads to its blob');
  });

  it('without a secret only what can be seen from outside is examined', async () => {
    const port = await frontChanged('nginx.conf', unchanged, (await ckan()).port, service.port);
    const { failed, text } = await examine(port, { DUMPER_ADMIN_TOKEN: '' });
    expect(failed, text).toEqual([]);
    expect(text).toContain('[ -- ] front, requests: neither DUMPER_ADMIN_TOKEN nor');
    expect(text).toContain('[ ok ] front, blobs:');
  });

  it('another secret than the service has is told', async () => {
    const port = await frontChanged('nginx.conf', unchanged, (await ckan()).port, service.port);
    const { failed, text } = await examine(port, { DUMPER_ADMIN_TOKEN: 'the token of another admin' });
    expect(failed).toEqual(['front, requests']);
    fails('front, requests', /other secrets/, text);
  });

  const everywhere = (from: RegExp, to: string) => (text: string) => {
    expect(text).toMatch(from);
    return text.replaceAll(from, to);
  };

  it.each([
    ['HTTP/1.0', everywhere(/proxy_http_version 1\.1;/g, 'proxy_http_version 1.0;'), /HTTP\/1\.0/],
    [
      'cookies that are stripped',
      everywhere(/proxy_set_header Host \$http_host;/g, '$& proxy_set_header Cookie "";'),
      /lose the cookie ckan/,
    ],
    [
      'tokens that are stripped',
      everywhere(/proxy_set_header Host \$http_host;/g, '$& proxy_set_header Authorization "";'),
      /lose the header Authorization/,
    ],
    [
      'an address that is decoded',
      everywhere(/proxy_pass http:\/\/datastore_dumper_step;/g, 'rewrite ^(.*)$ $1 break; $&'),
      /another address/,
    ],
  ])('%s: told of requests', async (_name, change, says) => {
    const { failed, text } = await before(change);
    expect(failed, text).toEqual(['front, requests']);
    fails('front, requests', says, text);
  });

  it('a location that dumps do not match is told once, and the rest is left out', async () => {
    const { failed, text } = await before(everywhere(/\/datastore\/dump\/"/g, '/datastore/dumps/"'));
    expect(failed, text).toEqual(['front, dumps']);
    fails('front, dumps', /answered by something else than the service \(404\)/, text);
    for (const subject of subjects.slice(1)) expect(text).toContain(`[ -- ] ${subject}: cannot be asked`);
  });

  it('a location without the language prefix is told', async () => {
    const { failed, text } = await before(everywhere(/location ~ "[^"]*"/g, 'location ^~ /datastore/dump/'));
    expect(failed, text).toEqual(['front, dumps']);
    fails('front, dumps', /GET \/en\/datastore\/dump/, text);
  });

  it('blobs that do not lead to the service are told, and so is a redirect to one', async () => {
    const { failed, text } = await before(everywhere(/location \^~ \/blobs\//g, 'location ^~ /no-blobs/'));
    expect(failed, text).toEqual(['front, a table', 'front, blobs']);
    fails('front, a table', /redirected to an address that answers 404/, text);
  });

  it('a 503 that people get instead of CKAN is told', async () => {
    const { failed, text } = await before(
      everywhere(/add_header X-Accel-Redirect \$datastore_dumper_fallback always;/g, ''),
    );
    expect(failed, text).toEqual(['front, fallback']);
  });

  it('an nginx that keeps nothing for slow readers is told', async () => {
    const { failed, text } = await before(
      everywhere(/proxy_max_temp_file_size 1024m;/g, 'proxy_buffering off;'),
    );
    expect(failed, text).toEqual(['front, buffering']);
  });
});

describe.skipIf(apache === null)('before Apache (skipped where there is none)', () => {
  it('the recipe passes; what Apache cannot do is said', async () => {
    const { failed, text } = await examine(await apacheFront((await ckan()).port, service.port));
    expect(failed, text).toEqual([]);
    expect(text).toContain('[ ok ] front, requests:');
    expect(text).toContain('[ -- ] front, fallback:');
  });
});

it('a portal that is not there is told once', async () => {
  const { failed, text } = await examine(1);
  expect(failed).toEqual(['front, dumps']);
  expect(text).toMatch(/\[FAIL\] front, dumps: .*(ECONNREFUSED|bad port)/);
});

it('the service tells nothing to who has no secret of it, or an old question', async () => {
  const url = `${service.base}/datastore/dump/x`;
  for (const header of ['seen', `seen.${Math.floor(Date.now() / 1000)}.${'0'.repeat(64)}`, 'x']) {
    const answer = await fetch(url, { headers: { 'X-Dumper-Probe': header } });
    expect([answer.status, answer.headers.get('x-dumper-probe-seen')]).toEqual([404, null]);
  }
  const settings = { DUMPER_ADMIN_TOKEN: 'the token of an admin', DUMPER_NOTICE_SECRET: undefined };
  const asked = async (at: Date): Promise<number> => {
    const header = signFrontProbe(settings, 'seen', at) ?? '';
    return (await fetch(url, { headers: { 'X-Dumper-Probe': header } })).status;
  };
  expect(await asked(new Date())).toBe(200);
  expect(await asked(new Date(Date.now() - 120_000))).toBe(404);
});
