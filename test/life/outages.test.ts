/**
 * P21 Postgres, S3 and CKAN each refused, silent, slow and flapping, and two of them at once, while downloads run: the
 * routes that do not need it go on, `/readyz` says which one it is, and all is well again without a restart.
 */
import { afterAll, afterEach, beforeAll, describe, expect, test, vi } from 'vitest';
import { startCkan } from '../world/fake-ckan.ts';
import { recordCount } from '../world/counts.ts';
import { eventually } from '../world/eventually.ts';
import { startFaultProxy, type FaultProxy } from '../world/fault-proxy.ts';
import { startS3 } from '../world/s3.ts';
import { type Running, type ServiceFixture, serviceFixture } from '../world/service.ts';

// each outage is waited for, and each recovery
vi.setConfig({ testTimeout: 180_000, hookTimeout: 60_000 });

const s3 = await startS3();
const neighbours = ['datastore', 'ckan', 'blob store', 'state database'] as const;
type Neighbour = (typeof neighbours)[number];

let world: ServiceFixture;
let running: Running;
const links = new Map<Neighbour, FaultProxy>();
let outages = 0;

beforeAll(async () => {
  if ('skipped' in s3) return;
  world = await serviceFixture();
  world.atEnd(() => s3.stop());
  const ckan = await startCkan({ permissions: () => 200 });
  world.atEnd(() => ckan.stop());
  await world.createTable('outage', 200);
  const places: Record<Neighbour, string> = {
    datastore: world.database.readUrl,
    ckan: ckan.url,
    'blob store': s3.endpoint,
    'state database': world.database.stateUrl,
  };
  for (const name of neighbours) {
    const { hostname, port } = new URL(places[name]);
    const link = await startFaultProxy({ host: hostname, port: Number(port) });
    links.set(name, link);
    world.atEnd(() => link.stop());
  }
  running = await world.start({
    ...s3.environment,
    CKAN_DATASTORE_READ_URL: linkTo('datastore').through(places.datastore),
    CKAN_SITE_URL: linkTo('ckan').url,
    AWS_ENDPOINT_URL_S3: linkTo('blob store').url,
    DUMPER_STATE_URL: linkTo('state database').through(places['state database']),
    DUMPER_BLOB_STORE: `s3://${await s3.createBucket()}/dumps`,
    DUMPER_AUTHORIZE: 'ckan',
    DUMPER_DECISION_CACHE_SECONDS: '0',
    DUMPER_CKAN_TIMEOUT_SECONDS: '1',
    DUMPER_STALL_SECONDS: '3',
    DUMPER_DELIVERY: 'stream',
  });
  await allIsWell();
});
afterAll(async () => {
  await world?.end();
  recordCount('P21', 'outages of one neighbour or of two, recovered from without a restart', outages);
});

afterEach(() => {
  for (const link of links.values()) {
    link.pass();
    link.reset();
  }
});

const linkTo = (name: Neighbour): FaultProxy => {
  const link = links.get(name);
  if (link === undefined) throw new Error(name);
  return link;
};

interface Answer {
  readonly status: number;
  readonly source: string | null;
  readonly retryAfter: string | null;
  readonly seconds: number;
}

async function ask(query = ''): Promise<Answer> {
  const started = performance.now();
  const answer = await fetch(`${running.base}/datastore/dump/outage${query}`);
  await answer.arrayBuffer();
  return {
    status: answer.status,
    source: answer.headers.get('x-dump-source'),
    retryAfter: answer.headers.get('retry-after'),
    seconds: (performance.now() - started) / 1000,
  };
}

async function notReady(): Promise<string[]> {
  const answer = await fetch(`${running.base}/readyz`);
  const { dependencies } = (await answer.json()) as { dependencies: Record<string, { ok: boolean }> };
  const down = Object.entries(dependencies).filter(([, { ok }]) => !ok);
  expect(answer.status).toBe(down.length === 0 ? 200 : 503);
  return down.map(([name]) => name).sort();
}

/** The blob is served, everything is ready, and a change is published: each within its time, without a restart. */
async function allIsWell(): Promise<void> {
  await eventually('ready', async () => (await notReady()).length === 0, { seconds: 60 });
  await world.asOwner('UPDATE public.outage SET n = n + 1 WHERE _id = 1');
  await eventually('published anew', async () => (await ask()).source === 'blob', { seconds: 60 });
}

type Fault = 'refused' | 'silent' | 'flapping';

function strike(name: Neighbour, fault: Exclude<Fault, 'flapping'>): void {
  const link = linkTo(name);
  link.set(fault === 'refused' ? { refuse: true } : { blackhole: true });
  if (fault === 'refused') link.reset();
}

/** What may be answered while these are down, and how soon. */
async function answersWhile(down: readonly Neighbour[]): Promise<void> {
  expect((await fetch(`${running.base}/healthz`)).status).toBe(200);
  expect((await fetch(`${running.base}/metrics`)).status).toBe(200);
  const [whole, live] = await Promise.all([ask(), ask('?latest=true')]);
  const needed = down.includes('datastore') || down.includes('ckan');
  for (const answer of [whole, live]) {
    if (needed) {
      expect(answer.status).toBe(503);
      expect(Number(answer.retryAfter)).toBeGreaterThan(0);
    } else expect(answer.status).toBe(200);
    expect(answer.seconds).toBeLessThan(20);
  }
  if (!needed) expect(live.source).toBe('live');
}

const pairs = neighbours.flatMap((one, index) =>
  neighbours.slice(index + 1).map((other) => [one, other] as const),
);

describe.skipIf('skipped' in s3)('P21', () => {
  test.each(
    neighbours.flatMap((name) => (['refused', 'silent'] as const).map((fault) => [name, fault] as const)),
  )('%s %s: the rest goes on, readiness names it, it recovers', async (name, fault) => {
    strike(name, fault);
    await eventually('named', async () => (await notReady()).includes(name), { seconds: 60 });
    expect(await notReady()).toEqual([name]);
    await answersWhile([name]);
    linkTo(name).pass();
    if (fault === 'silent') linkTo(name).reset();
    await allIsWell();
    outages += 1;
  });

  test.each(pairs)('%s and %s at once', async (one, other) => {
    for (const name of [one, other]) strike(name, 'refused');
    await eventually('named', async () => (await notReady()).length === 2, { seconds: 60 });
    expect(await notReady()).toEqual([one, other].sort());
    await answersWhile([one, other]);
    for (const name of [one, other]) linkTo(name).pass();
    await allIsWell();
    outages += 1;
  });

  test.each(neighbours)('%s slow: answers are right, only later', async (name) => {
    linkTo(name).set({ delayMs: 40 });
    const answers = await Promise.all([ask(), ask('?latest=true'), ask('?format=json')]);
    expect(answers.map(({ status }) => status)).toEqual([200, 200, 200]);
    linkTo(name).pass();
    outages += 1;
  });

  test.each(neighbours)(
    '%s flapping under steady downloads: 200 or 503, never anything else',
    async (name) => {
      const asking = new AbortController();
      const statuses = new Set<number | string>();
      const readers = Array.from({ length: 3 }, async () => {
        while (!asking.signal.aborted) {
          const answer = await ask('?latest=true').catch(() => null);
          statuses.add(answer === null ? 'broken' : answer.status);
        }
      });
      for (let flap = 0; flap < 2; flap += 1) {
        strike(name, 'refused');
        await eventually('it is seen down', async () => (await notReady()).includes(name), { seconds: 60 });
        linkTo(name).pass();
        await eventually('it is seen up', async () => !(await notReady()).includes(name), { seconds: 60 });
      }
      asking.abort();
      await Promise.all(readers);
      // an answer under way when the DataStore goes is visibly broken
      expect([...statuses].filter((status) => ![200, 503, 'broken'].includes(status))).toEqual([]);
      expect(statuses).toContain(200);
      await allIsWell();
      outages += 2;
    },
  );
});
