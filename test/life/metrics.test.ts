/**
 * What Prometheus reads and what the log says, of a running service: names by the conventions, no label that grows with
 * the portal, dependencies asked at each scrape, one line a request with the proxy's id, one line a publication.
 */
import { Writable } from 'node:stream';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { createLog } from '../../src/log.ts';
import { startCkan } from '../world/fake-ckan.ts';
import { eventually } from '../world/eventually.ts';
import { startFaultProxy, type FaultProxy } from '../world/fault-proxy.ts';
import { type ServiceFixture, serviceFixture } from '../world/service.ts';

let world: ServiceFixture;
let base: string;
let link: FaultProxy;
let written = '';

beforeAll(async () => {
  world = await serviceFixture();
  for (const name of ['metered-1', 'metered-2']) await world.createTable(name, 30);
  const { hostname, port } = new URL(world.database.readUrl);
  link = await startFaultProxy({ host: hostname, port: Number(port) });
  world.atEnd(() => link.stop());
  const destination = new Writable({
    write: (chunk: Buffer, _encoding, done) => {
      written += chunk.toString();
      done();
    },
  });
  ({ base } = await world.start(
    { CKAN_DATASTORE_READ_URL: link.through(world.database.readUrl), DUMPER_ADMIN_TOKEN: 'the-admin' },
    { log: createLog('info', destination) },
  ));
  for (const name of ['metered-1', 'metered-2'])
    await eventually(
      'published',
      async () => (await fetch(`${base}/datastore/dump/${name}`, { redirect: 'manual' })).status === 302,
      { seconds: 25 },
    );
});
afterAll(() => world?.end());

const scrape = async (): Promise<string> => (await fetch(`${base}/metrics`)).text();
const lines = (): Record<string, unknown>[] =>
  written
    .split('\n')
    .filter((line) => line !== '')
    .map((line) => JSON.parse(line) as Record<string, unknown>);

interface Family {
  readonly name: string;
  readonly type: string;
  readonly help: string;
  readonly samples: readonly string[];
}

function families(text: string): Family[] {
  return text
    .split(/^(?=# HELP )/m)
    .filter((part) => part.startsWith('# HELP'))
    .map((part) => {
      const [help = '', type = '', ...samples] = part.trimEnd().split('\n');
      const [, name = '', words = ''] = /^# HELP (\S+) (.*)$/.exec(help) ?? [];
      return { name, help: words, type: type.split(' ')[3] ?? '', samples };
    });
}

describe('metrics', () => {
  test('each has help and type, base units, _total where it counts and only there', async () => {
    const own = families(await scrape()).filter(({ name }) => name.startsWith('datastore_dumper_'));
    expect(own.length).toBeGreaterThan(15);
    for (const { name, help, type } of own) {
      expect(help.length, name).toBeGreaterThan(10);
      expect(name).toMatch(/^[a-z][a-z0-9_]*$/);
      expect(name.endsWith('_total'), name).toBe(type === 'counter');
      expect(name).not.toMatch(/_(ms|milliseconds|minutes|kib|mib|kilobytes|percent|count|sum|bucket)$/);
      if (type === 'histogram') expect(name).toMatch(/_(seconds|bytes)$/);
    }
  });

  test('a thousand different requests add no series, and no id becomes a label', async () => {
    const ask = (index: number): Promise<Response> =>
      fetch(`${base}/datastore/dump/unknown-${index % 500}?format=${index % 7 === 0 ? `f${index}` : 'csv'}`);
    for (let index = 0; index < 40; index += 1) await ask(index);
    const count = async (): Promise<number> =>
      families(await scrape())
        .flatMap(({ samples }) => samples)
        .filter((one) => one.startsWith('datastore_dumper_')).length;
    const before = await count();
    for (let first = 40; first < 1000; first += 40)
      await Promise.all(
        Array.from({ length: 40 }, async (_, index) => (await ask(first + index)).arrayBuffer()),
      );
    expect(await count()).toBe(before);
    const text = await scrape();
    for (const name of ['metered', 'unknown-', '127.0.0.1']) expect(text).not.toContain(name);
  });

  test('every value that tells an outcome, a cause or a state is listed in the help of its metric', async () => {
    const dataset = { private: true, state: 'active' };
    const permissions = (who: string): number => (who === 'anonymous' ? 403 : 200);
    const ckan = await startCkan({ permissions, authorize: true, dataset: () => dataset });
    world.atEnd(() => ckan.stop());
    const { base: asking } = await world.start({
      DUMPER_ROLE: 'serve',
      DUMPER_AUTHORIZE: 'ckan',
      CKAN_SITE_URL: ckan.url,
    });
    const dump = `${asking}/datastore/dump/metered-1`;
    expect((await fetch(dump)).status).toBe(404);
    expect((await fetch(dump, { headers: { authorization: 'token-member' } })).status).toBe(200);
    const told = families(await (await fetch(`${asking}/metrics`)).text()).flatMap(
      ({ name, help, samples }) =>
        samples.flatMap((sample) =>
          [...sample.matchAll(/[{,](?:outcome|cause|state|from)="([^"]+)"/g)].map(([, value = '']) => {
            expect(help, name).toContain(value);
            return value;
          }),
        ),
    );
    expect(told).toContain('restricted');
  });

  test('a scrape asks the dependencies, so that the gauges are of this moment', async () => {
    const gauge = async (): Promise<string | undefined> =>
      /datastore_dumper_ready\{dependency="datastore"\} (\d)/.exec(await scrape())?.[1];
    await eventually('up', async () => (await gauge()) === '1', { seconds: 25 });
    link.set({ refuse: true });
    link.reset();
    await eventually('down', async () => (await gauge()) === '0', { seconds: 25 });
    link.pass();
    await eventually('up again', async () => (await gauge()) === '1', { seconds: 25 });
  });
});

describe('the log', () => {
  test('one line a request, with the id that the proxy gave and got back; an insane one is replaced', async () => {
    const answer = await fetch(`${base}/datastore/dump/metered-1?limit=1`, {
      headers: { 'x-request-id': 'from-nginx-1' },
    });
    expect(answer.headers.get('x-request-id')).toBe('from-nginx-1');
    await answer.text();
    await eventually('its line', () => lines().some(({ request }) => request === 'from-nginx-1'));
    const own = lines().filter(({ request }) => request === 'from-nginx-1');
    expect(own).toHaveLength(1);
    expect(own[0]).toMatchObject({
      msg: 'request',
      status: 200,
      source: 'live',
      path: '/datastore/dump/metered-1',
    });
    const odd = await fetch(`${base}/healthz`, { headers: { 'x-request-id': 'a b"c' } });
    expect(odd.headers.get('x-request-id')).toMatch(/^[0-9a-f-]{36}$/);
  });

  test('one line a publication, with revision, rows, bytes and seconds', async () => {
    await fetch(`${base}/status/metered-2/rebuild`, {
      method: 'POST',
      headers: { authorization: 'Bearer the-admin' },
    });
    const published = (): Record<string, unknown>[] =>
      lines().filter(
        ({ msg, table, outcome }) =>
          msg === 'publication' && table === 'metered-2' && outcome === 'published',
      );
    await eventually('published twice', () => published().length === 2, { seconds: 25 });
    expect(published().at(-1)).toMatchObject({
      revision: expect.any(String),
      rows: 30,
      bytes: expect.any(Number),
      seconds: expect.any(Number),
    });
  });
});
