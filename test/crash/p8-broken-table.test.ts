/**
 * P8: a table that always fails and a large one beside small ones; and what the metrics tell of publications, as
 * Prometheus would read it.
 */
import http from 'node:http';
import { afterEach, expect, test, vi } from 'vitest';
import { recordCount } from '../world/counts.ts';
import { eventually } from '../world/eventually.ts';
import { manifestOf } from './audit.ts';
import { processFixture, type ProcessFixture } from './processes.ts';
import { get } from './versions.ts';

// two hundred publications
vi.setConfig({ testTimeout: 300_000 });

let world: ProcessFixture;

afterEach(async () => {
  await world.end();
});

const agent = new http.Agent({ keepAlive: false });
/** Two gigabytes are written, and what failed rests the longer the longer that takes. */
const patience = 400;

async function metric(base: string, name: string): Promise<number | null> {
  const text = (await get(`${base}/metrics`, agent)).body.toString();
  const line = text.split('\n').find((one) => one.startsWith(`datastore_dumper_${name} `));
  return line === undefined ? null : Number(line.slice(line.lastIndexOf(' ') + 1));
}

test('P8 a failing and a large table hold up none of 200 small ones; the reason is told; metrics are fed', async () => {
  world = await processFixture({
    settings: { DUMPER_SWEEP_CRON: '*/2 * * * * *', DUMPER_SMALL_TABLE_MIB: '1' },
  });
  const owner = await world.connect();
  const create = (name: string, rows: number): Promise<unknown> =>
    owner.query(`CREATE TABLE public."${name}" (_id serial PRIMARY KEY, _full_text tsvector, a text);
      INSERT INTO public."${name}" (a) SELECT repeat('x', 300) || i FROM generate_series(1, ${rows}) i; ANALYZE public."${name}"`);
  await create('a-broken', 10);
  await owner.query('REVOKE SELECT ON public."a-broken" FROM datastore_default');
  await create('a-large', 1_000_000);
  const small = Array.from({ length: 200 }, (_, index) => `small-${index}`);
  for (const name of small) await create(name, 20);
  const { base } = await world.start();
  for (const name of small) {
    await eventually(`${name} is published`, () => manifestOf(world.store, name), { seconds: patience });
  }
  await eventually(
    'every small table is counted',
    async () => ((await metric(base, `publications_total{outcome="published"}`)) ?? 0) >= 200,
  );
  const failed = await eventually(
    'the reason is in the status',
    async () => {
      const options = { headers: { authorization: 'Bearer admin' } };
      const answer = await fetch(`${base}/status/a-broken`, options);
      const status = (await answer.json()) as { state: string; reason: string; attempts: number };
      return status.state === 'failed' ? status : null;
    },
    { seconds: 400 },
  );
  expect(failed.reason).toMatch(/permission denied/);
  expect(failed.attempts).toBeLessThan(6);
  await eventually('the large one is published too', () => manifestOf(world.store, 'a-large'), {
    seconds: patience,
  });
  await eventually('a sweep has counted', async () => (await metric(base, 'tables{state="fresh"}')) === 201, {
    seconds: 400,
  });
  expect(await metric(base, 'tables{state="failed"}')).toBe(1);
  expect(await metric(base, 'publications_total{outcome="failed"}')).toBeGreaterThan(0);
  expect(await metric(base, 'publications_total{outcome="published"}')).toBe(201);
  expect(await metric(base, 'publication_seconds_count')).toBe(201);
  expect(await metric(base, 'publication_lag_seconds_count')).toBe(201);
  expect(await metric(base, 'published_bytes_total')).toBeGreaterThan(1_000_000 * 300 * 6);
  expect(await metric(base, 'oldest_stale_seconds')).toBeGreaterThan(0);
  expect(
    Math.abs(Date.now() / 1000 - ((await metric(base, 'sweep_success_timestamp_seconds')) ?? 0)),
  ).toBeLessThan(60);
  expect(await metric(base, 'queue_jobs{state="waiting"}')).toBeGreaterThan(0);
  expect(await metric(base, 'pool_connections{pool="publish",state="busy"}')).toBe(0);
  await owner.query('GRANT SELECT ON public."a-broken" TO datastore_default');
  await eventually('it recovers by itself', () => manifestOf(world.store, 'a-broken'), { seconds: patience });
  recordCount('P8', 'small tables published beside a failing and a large one', small.length);
}, 1_200_000);
