/** P4, P5, P8, P15: whatever happens to tables, records, manifests and notices, published ends as the table is. */
import { once } from 'node:events';
import { afterEach, expect, test } from 'vitest';
import type { WebhookRequest } from '../../src/change/webhook.ts';
import { manifestKey } from '../../src/manifest.ts';
import { asResourceId } from '../../src/postgres/table.ts';
import { eventually } from '../world/eventually.ts';
import { signWebhook } from './sign-webhook.ts';
import { actWorld, type ActWorld } from './world.ts';

let world: ActWorld;

afterEach(async () => {
  await world.stop();
});

const fresh = (...ids: string[]): Promise<unknown> =>
  eventually(
    `${ids.join(', ')} fresh`,
    async () => (await Promise.all(ids.map((id) => world.isFresh(asResourceId(id))))).every(Boolean),
    { seconds: 25 },
  );

function request(body: unknown, secret = 'a secret of the tests'): WebhookRequest {
  const bytes = Buffer.from(JSON.stringify(body));
  return { body: bytes, ...signWebhook(bytes, secret, new Date()) };
}

test('at start everything is published; a change, a new table and a dropped one are followed', async () => {
  world = await actWorld({ journal: true });
  await world.createTable('a');
  await world.createTable('b');
  const change = await world.start();
  await fresh('a', 'b');
  const published = world.attempts.length;
  await world.write.query(`INSERT INTO a (a) VALUES ('x')`);
  // told by NOTIFY, no sweep in between
  await fresh('a');
  expect(world.attempts.slice(published)).toEqual(['a']);
  await world.createTable('c');
  await world.write.query('DROP TABLE b');
  expect(await change.sweep()).toMatchObject({ tables: 2, exact: 2, missing: 1, gone: 1, attached: 1 });
  await fresh('c');
  await eventually('b is withdrawn', async () => (await world.manifest(asResourceId('b'))) === null, {
    seconds: 25,
  });
  await eventually(
    'b is gone',
    async () => (await world.state.publications.get(asResourceId('b')))?.state === 'gone',
  );
  expect(await change.sweep()).toMatchObject({ changed: 0, missing: 0, gone: 0, attached: 0 });
});

test('P5: records lost, or manifests lost: all of it is learned again, and nothing is published twice', async () => {
  world = await actWorld({ journal: true });
  const id = await world.createTable('a');
  await world.createTable('b');
  await (await world.start()).sweep();
  await fresh('a', 'b');
  await eventually('at rest', async () => (await world.state.publications.get(id))?.state === 'published', {
    seconds: 25,
  });
  const generation = (await world.manifest(id))?.generation ?? 0;
  await world.state.pool.query('TRUNCATE dumper.publication');
  const again = await world.start({}, false);
  expect(await again.sweep(), 'learned by listing').toMatchObject({ changed: 0, missing: 0, gone: 0 });
  expect((await world.manifest(id))?.generation).toBe(generation);
  await world.store.delete([manifestKey('a')]);
  const third = await world.start({}, false);
  expect(await third.sweep()).toMatchObject({ changed: 0, missing: 1, gone: 0 });
  await fresh('a');
});

test('readers who ask for a stale dump again and again do not put its publication off', async () => {
  world = await actWorld({ journal: true });
  const id = await world.createTable('a');
  const heard = async (): Promise<Date | null> => (await world.state.publications.get(id))?.changedAt ?? null;
  const change = await world.start({}, false);
  await change.enqueueStale(id);
  const first = await heard();
  expect(first).not.toBeNull();
  await change.enqueueStale(id);
  expect(await heard()).toEqual(first);
  await change.enqueueByName([id]);
  expect(await heard()).not.toEqual(first);
});

test('a manifest that lacks a format asked for is looked at again', async () => {
  world = await actWorld({ journal: true });
  const id = await world.createTable('a');
  const change = await world.start();
  await fresh('a');
  await eventually('recorded', async () => (await world.state.publications.get(id))?.variants, {
    seconds: 25,
  });
  expect(await change.sweep()).toMatchObject({ changed: 0 });
  await world.state.pool.query(`UPDATE dumper.publication SET variants = 'csv,csv+bom'`);
  expect(await change.sweep()).toMatchObject({ changed: 1 });
  await eventually(
    'learned',
    async () => (await world.state.publications.get(id))?.variants?.includes('json'),
    { seconds: 25 },
  );
});

test('records restored from long ago cost a look, never a regression', async () => {
  world = await actWorld({ journal: true });
  const id = await world.createTable('a');
  const change = await world.start();
  await fresh('a');
  await eventually('recorded', async () => (await world.state.publications.get(id))?.token, { seconds: 25 });
  await world.state.pool.query('CREATE TABLE public.backup AS SELECT * FROM dumper.publication');
  for (let turn = 0; turn < 3; turn += 1) {
    await world.write.query(`INSERT INTO a (a) VALUES ('x')`);
    await fresh('a');
  }
  await eventually(
    'at rest',
    async () =>
      (await world.state.publications.get(id))?.state === 'published' && (await change.depth()).active === 0,
    { seconds: 25 },
  );
  const before = await world.manifest(id);
  await world.state.pool.query(
    'TRUNCATE dumper.publication; INSERT INTO dumper.publication SELECT * FROM public.backup',
  );
  expect(await change.sweep()).toMatchObject({ changed: 1 });
  await eventually(
    'the record is right again',
    async () => (await world.state.publications.get(id))?.token === before?.token,
  );
  await world.write.query(`INSERT INTO a (a) VALUES ('x')`);
  await fresh('a');
  expect((await world.manifest(id))?.generation).toBeGreaterThan(before?.generation ?? 0);
});

test('a database that seems empty is believed only when seen so twice', async () => {
  world = await actWorld({ journal: true });
  const ids = Array.from({ length: 25 }, (_, n) => `t${n}`);
  for (const id of ids) await world.createTable(id);
  const change = await world.start();
  await fresh(...ids);
  await eventually('at rest', async () => (await change.depth()).active === 0, { seconds: 25 });
  await world.write.query(
    `DO $$ DECLARE t text; BEGIN FOR t IN SELECT relname FROM pg_class WHERE relname ~ '^t[0-9]+$' LOOP EXECUTE format('DROP TABLE %I', t); END LOOP; END $$`,
  );
  expect(await change.sweep()).toMatchObject({ tables: 0, gone: 25, withheld: true });
  expect(await world.manifest(asResourceId('t0'))).not.toBeNull();
  expect(await change.sweep()).toMatchObject({ gone: 25, withheld: false });
  await eventually('withdrawn', async () => (await world.manifest(asResourceId('t24'))) === null, {
    seconds: 25,
  });
});

test('P15: notices: a signed one queues what exists; forged, replayed and unknown ones change nothing', async () => {
  world = await actWorld({ journal: false });
  await world.createTable('a');
  await world.write.query('CREATE VIEW alias AS SELECT * FROM a');
  const change = await world.start({}, false);
  expect(await change.receiveWebhook(request({ resource_id: 'alias' }, 'wrong'))).toMatchObject({
    status: 401,
  });
  expect(
    await change.receiveWebhook(request([{ resource_id: 'nothing' }, { resource_id: 'pg_class' }])),
  ).toMatchObject({ kind: 'accepted' });
  expect(await change.depth()).toEqual({ waiting: 0, active: 0, dead: 0 });
  const good = request({ resource_id: 'alias' });
  expect(await change.receiveWebhook(good)).toMatchObject({ kind: 'accepted' });
  expect(await change.receiveWebhook(good)).toEqual({ kind: 'replayed' });
  expect(await change.depth()).toEqual({ waiting: 1, active: 0, dead: 0 });
  expect((await world.state.publications.get(asResourceId('a')))?.state).toBe('pending');
});

test('P15: 10,000 notices for one table cost one publication', async () => {
  world = await actWorld({ journal: false });
  await world.createTable('a');
  const change = await world.start({ DUMPER_QUIET_SECONDS: '2' }, false);
  const bodies = Array.from({ length: 10_000 }, (_, n) => request({ resource_id: 'a', n }));
  await Promise.all(bodies.map((body) => change.receiveWebhook(body)));
  await world.start({ DUMPER_QUIET_SECONDS: '2' });
  await fresh('a');
  await eventually(
    'at rest',
    async () => (await change.depth()).waiting + (await change.depth()).active === 0,
    { seconds: 25 },
  );
  expect(world.attempts).toEqual(['a']);
});

test(
  'P8: a failing table shows its reason, backs off, and recovers; others go on',
  { timeout: 60_000 },
  async () => {
    world = await actWorld({ journal: true });
    const id = await world.createTable('a');
    await world.createTable('b');
    let broken = true;
    world.beforePublish = async (table) => {
      if (broken && table === id) throw new Error('disk on fire');
    };
    const change = await world.start();
    await fresh('b');
    const failed = await eventually(
      'the failure is recorded',
      async () => {
        const record = await world.state.publications.get(id);
        return record?.attempts ? record : null;
      },
      { seconds: 25 },
    );
    expect(failed).toMatchObject({ state: 'failing', lastError: 'disk on fire' });
    const pace = { quietSeconds: 0, hotTableFactor: 0 };
    expect((await world.state.publications.nextRun(id, pace, false)).delaySeconds).toBeGreaterThan(0);
    await change.sweep();
    broken = false;
    await fresh('a');
    await eventually('healed', async () => (await world.state.publications.get(id))?.state === 'published', {
      seconds: 25,
    });
    expect(await world.state.publications.get(id)).toMatchObject({ attempts: 0, lastError: null });
  },
);

test('a table that never rests is published at a bounded pace; a rebuild does not wait', async () => {
  world = await actWorld({ journal: true });
  const id = await world.createTable('a');
  const change = await world.start({ DUMPER_HOT_TABLE_FACTOR: '600' });
  await fresh('a');
  await eventually('recorded', async () => (await world.state.publications.get(id))?.state === 'published', {
    seconds: 25,
  });
  const count = world.attempts.length;
  // however fast this machine has built it
  await world.state.pool.query('UPDATE dumper.publication SET build_seconds = 0.1');
  await world.write.query(`INSERT INTO a (a) VALUES ('x')`);
  await eventually('pending', async () => (await world.state.publications.get(id))?.state === 'pending', {
    seconds: 25,
  });
  const pace = { quietSeconds: 0, hotTableFactor: 600 };
  expect((await world.state.publications.nextRun(id, pace, false)).delaySeconds).toBeGreaterThan(30);
  expect(world.attempts).toHaveLength(count);
  await change.rebuild([id]);
  await fresh('a');
});

test('P20: stopping aborts a publication after its grace; another process takes it up', async () => {
  world = await actWorld({ journal: true });
  const id = await world.createTable('a');
  let aborted = false;
  let begun = false;
  const { put } = world.store;
  world.store.put = async (_key, _body, { signal }) => {
    begun = true;
    await once(signal, 'abort');
    aborted = true;
    throw signal.reason as Error;
  };
  const first = await world.start();
  await eventually('begun', () => begun, { seconds: 25 });
  await first.stop(0);
  expect(aborted).toBe(true);
  world.store.put = put;
  expect((await world.state.publications.get(id))?.attempts ?? 0).toBe(0);
  await (await world.start()).sweep();
  await fresh('a');
});
