/** P5, P21: the state database dropped, restored from yesterday, down, slow; nothing served is wrong, all converges. */
import http from 'node:http';
import { afterEach, expect, test, vi } from 'vitest';
import { startFaultProxy } from '../world/fault-proxy.ts';
import { asAdmin } from '../world/postgres.ts';
import { eventually } from '../world/eventually.ts';
import { manifestOf } from './audit.ts';
import { processFixture, type ProcessFixture } from './processes.ts';
import { noticeSecret, openWorkload, type Workload } from './workload.ts';
import { get } from './versions.ts';

// Measured with a busy machine, and room beyond.
vi.setConfig({ testTimeout: 150_000 });

let world: ProcessFixture;

afterEach(async () => {
  await world.end();
});

const calm = { tables: 6, rows: 50, writers: 2, readers: 2, withDdl: false, seed: 9, restMilliseconds: 400 };

async function working(workload: Workload, base: string, work: () => Promise<void>): Promise<void> {
  let over = false;
  const working = work().finally(() => {
    over = true;
  });
  await Promise.all([workload.run([base], () => over), working]);
  expect(workload.reads.violations).toEqual([]);
}

test('P5 the state database dropped and made anew under a running service: it starts again on the new one', async () => {
  world = await processFixture({ settings: { DUMPER_NOTICE_SECRET: noticeSecret } });
  const workload = await openWorkload(world, calm);
  const { base } = await world.start();
  await workload.settle(base);
  const before = new Map<string, number>();
  for (const table of workload.versions.tables)
    before.set(table, (await manifestOf(world.store, table))?.generation ?? 0);
  const state = new URL(world.database.stateUrl).pathname.slice(1);
  await working(workload, base, async () => {
    await asAdmin(world.database.adminUrl, async (admin) => {
      await admin.query(`DROP DATABASE "${state}" WITH (FORCE)`);
      await admin.query(`CREATE DATABASE "${state}" OWNER datastore_dumper`);
    });
    await eventually(
      'the state is there again',
      () =>
        asAdmin(
          world.database.stateUrl,
          async (client) =>
            (await client.query('SELECT FROM dumper.publication WHERE published_generation > 0')).rowCount,
        ),
      { seconds: 120 },
    );
  });
  await workload.settle(base);
  for (const table of workload.versions.tables) {
    expect((await manifestOf(world.store, table))?.generation).toBeGreaterThanOrEqual(before.get(table) ?? 0);
  }
});

test('P5 records restored from yesterday: generations go on growing, everything converges', async () => {
  world = await processFixture({ settings: { DUMPER_NOTICE_SECRET: noticeSecret } });
  const workload = await openWorkload(world, calm);
  const first = await world.start();
  await workload.settle(first.base);
  await asAdmin(world.database.stateUrl, (client) =>
    client.query('CREATE TABLE public.backup AS SELECT * FROM dumper.publication'),
  );
  const started = performance.now();
  await working(workload, first.base, () =>
    eventually('newer revisions', () => workload.commits() > 20 && performance.now() - started > 3000, {
      seconds: 120,
    }).then(() => undefined),
  );
  await workload.settle(first.base);
  const generations = await Promise.all(
    workload.versions.tables.map(async (table) => (await manifestOf(world.store, table))?.generation ?? 0),
  );
  await asAdmin(world.database.stateUrl, (client) =>
    client.query(
      'BEGIN; DELETE FROM dumper.publication; INSERT INTO dumper.publication SELECT * FROM public.backup; COMMIT',
    ),
  );
  const again = workload.commits();
  await working(workload, first.base, () =>
    eventually('more commits', () => workload.commits() > again + 15, { seconds: 120 }).then(() => undefined),
  );
  await workload.settle(first.base);
  for (const [index, table] of workload.versions.tables.entries()) {
    expect((await manifestOf(world.store, table))?.generation).toBeGreaterThanOrEqual(
      generations[index] ?? 0,
    );
  }
});

test('P21 state database down, silent or flapping: dumps are answered, /readyz names it, it recovers', async () => {
  world = await processFixture({ settings: { DUMPER_NOTICE_SECRET: noticeSecret } });
  const workload = await openWorkload(world, calm);
  const { hostname: host, port } = new URL(world.database.stateUrl);
  const proxy = await startFaultProxy({ host, port: Number(port) });
  const agent = new http.Agent({ keepAlive: false });
  try {
    const { base } = await world.start({ DUMPER_STATE_URL: proxy.through(world.database.stateUrl) });
    await workload.settle(base);
    for (const fault of [{ refuse: true }, { blackhole: true }, { bytesPerSecond: 2000 }]) {
      await working(workload, base, async () => {
        proxy.set(fault);
        proxy.reset();
        const commits = workload.commits();
        await eventually('commits meanwhile', () => workload.commits() > commits + 3, { seconds: 120 });
        if ('bytesPerSecond' in fault) return;
        await eventually(
          'it is told',
          async () => {
            const answer = await get(`${base}/readyz`, agent);
            return answer.status === 503 && /"state database":\{"ok":false/.test(answer.body.toString());
          },
          { seconds: 120 },
        );
        expect((await get(`${base}/readyz?needed`, agent)).status).toBe(200);
      });
      proxy.pass();
      proxy.reset();
      await eventually('ready again', async () => (await get(`${base}/readyz`, agent)).status === 200, {
        seconds: 120,
      });
      await workload.settle(base);
    }
  } finally {
    await proxy.stop();
  }
}, 600_000);
