/** P6: a redirect handed out stays valid for its life, whatever is published and swept meanwhile; then it ends. */
import { createHash } from 'node:crypto';
import http from 'node:http';
import { expect, test, vi } from 'vitest';
import { recordCount } from '../world/counts.ts';
import { eventually } from '../world/eventually.ts';
import { startS3 } from '../world/s3.ts';
import { manifestOf } from './audit.ts';
import { processFixture } from './processes.ts';
import { get } from './versions.ts';

// six publications, and a life of a URL to its end
vi.setConfig({ testTimeout: 300_000, hookTimeout: 60_000 });

const s3 = await startS3();
const stores = 'skipped' in s3 ? (['directory'] as const) : (['directory', 's3'] as const);
const agent = new http.Agent({ keepAlive: false });
const downloads = 5;

/** The address that the dump of `t` leads to, once it is published. */
const redirectOf = (base: string): Promise<string> =>
  eventually(
    'a redirect',
    async () => {
      const answer = await get(`${base}/datastore/dump/t`, agent);
      return answer.status === 302 ? new URL(answer.headers.location ?? '', base).href : null;
    },
    { seconds: 60 },
  );

test.each(stores)('P6 five newer revisions and a sweep: the URL still downloads (%s)', async (kind) => {
  const world = await processFixture({
    settings: { DUMPER_URL_LIFE_SECONDS: '600', DUMPER_RETIRE_MARGIN_SECONDS: '2' },
    ...(kind === 's3' && !('skipped' in s3) ? { s3 } : {}),
  });
  try {
    const owner = await world.connect();
    await owner.query(`CREATE TABLE t (_id serial PRIMARY KEY, a text); INSERT INTO t (a) VALUES ('first')`);
    const { base } = await world.start();
    const url = await redirectOf(base);
    const first = await manifestOf(world.store, 't');
    for (let turn = 0; turn < 5; turn += 1) {
      await owner.query(`UPDATE t SET a = 'turn ${turn}'`);
      await redirectOf(base);
    }
    await world.sweep(0);
    expect((await manifestOf(world.store, 't'))?.superseded.length).toBeGreaterThanOrEqual(5);
    for (let download = 0; download < downloads; download += 1) {
      const { status, body } = await get(url, agent);
      expect(status).toBe(200);
      expect(createHash('sha256').update(body).digest('hex')).toBe(first?.blobs.csv?.sha256);
    }
    recordCount('P6', `downloads of an old URL after five newer revisions, ${kind}`, downloads);
  } finally {
    await world.end();
  }
});

test.each(stores)('P6 a URL ends with its life, and then its blob goes (%s)', async (kind) => {
  const world = await processFixture({
    settings: { DUMPER_URL_LIFE_SECONDS: '2', DUMPER_RETIRE_MARGIN_SECONDS: '2' },
    ...(kind === 's3' && !('skipped' in s3) ? { s3 } : {}),
  });
  try {
    const owner = await world.connect();
    await owner.query(`CREATE TABLE t (_id serial PRIMARY KEY, a text); INSERT INTO t (a) VALUES ('first')`);
    const { base } = await world.start();
    const url = await redirectOf(base);
    await owner.query(`UPDATE t SET a = 'second'`);
    await eventually('it has ended', async () => (await get(url, agent)).status >= 400, { seconds: 60 });
    await eventually(
      'retired by the sweep',
      async () => {
        await world.sweep(5);
        return (await world.orphans(['t'])).length === 0;
      },
      { seconds: 60 },
    );
  } finally {
    await world.end();
  }
});
