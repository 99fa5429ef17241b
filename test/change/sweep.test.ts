/** P20, P21: a sweep whose surroundings fail, are strange or have no end. */
import { setTimeout as delay } from 'node:timers/promises';
import { afterEach, expect, test } from 'vitest';
import { manifestKey } from '../../src/manifest.ts';
import { DumperError } from '../../src/errors.ts';
import { asResourceId, type ResourceId } from '../../src/postgres/table.ts';
import { eventually } from '../world/eventually.ts';
import { actWorld, type ActWorld } from './world.ts';

let world: ActWorld;

afterEach(async () => {
  await world.stop();
});

const settled = (...ids: ResourceId[]): Promise<unknown> =>
  eventually(
    `${ids.join(', ')} published and recorded`,
    async () => {
      const records = await Promise.all(ids.map((id) => world.state.publications.get(id)));
      return records.every((record) => record?.state === 'published' && !record.leased);
    },
    { seconds: 25 },
  );

test('the journal’s upkeep fails: tables are compared and published all the same', async () => {
  world = await actWorld({ journal: true });
  const failing = `LANGUAGE plpgsql AS $$ BEGIN RAISE 'out of order'; END $$`;
  await world.write.query(`CREATE OR REPLACE FUNCTION datastore_dumper.fold() RETURNS void ${failing};
    CREATE OR REPLACE FUNCTION datastore_dumper.attach(target text, wait_milliseconds integer)
      RETURNS boolean ${failing}`);
  const id = await world.createTable('a');
  const change = await world.start();
  expect(await change.sweep()).toMatchObject({ tables: 1, exact: 0, attached: 0 });
  await eventually('published', () => world.isFresh(id), { seconds: 25 });
});

test('a read role that may not read the journal makes no sweep ask for triggers that are there', async () => {
  world = await actWorld({ journal: true });
  const id = await world.createTable('a');
  const change = await world.start({}, false);
  expect(await change.sweep()).toMatchObject({ tables: 1, exact: 1, attached: 1 });
  await world.write.query(`REVOKE SELECT ON datastore_dumper.change FROM datastore_default;
    CREATE OR REPLACE FUNCTION datastore_dumper.attach(target text, wait_milliseconds integer) RETURNS boolean
      LANGUAGE plpgsql AS $$ BEGIN EXECUTE 'CREATE TABLE _asked (_id int)'; RETURN false; END $$`);
  expect(await change.sweep()).toMatchObject({ tables: 1, exact: 0, attached: 0 });
  const { rows } = await world.write.query(`SELECT to_regclass('public._asked') AS asked`);
  expect(rows, `attach was asked for ${id}`).toEqual([{ asked: null }]);
});

test('P8: listing the store ends neither a table’s failures nor their back-off', async () => {
  world = await actWorld({ journal: true });
  const id = await world.createTable('a');
  const working = await world.start();
  await eventually('published', () => world.isFresh(id), { seconds: 25 });
  await eventually('recorded', async () => (await world.state.publications.get(id))?.token, { seconds: 25 });
  world.beforePublish = () => Promise.reject(new Error('out of order'));
  await world.write.query(`INSERT INTO a (a) VALUES ('x')`);
  const failed = await eventually(
    'failed',
    async () => {
      const record = await world.state.publications.get(id);
      return record?.state === 'failing' ? record : null;
    },
    { seconds: 25 },
  );
  await working.stop(1);
  const other = await world.start({}, false);
  expect(await other.sweep()).toMatchObject({ changed: 1, states: { failed: 1 } });
  const { state, attempts, lastError, lastErrorAt } = failed;
  expect(await world.state.publications.get(id)).toMatchObject({ state, attempts, lastError, lastErrorAt });
  await world.store.delete([manifestKey('a')]);
  const third = await world.start({}, false);
  expect(await third.sweep()).toMatchObject({ missing: 1 });
  expect(await world.state.publications.get(id)).toMatchObject({ state, attempts, lastError, lastErrorAt });
});

test('a stranger’s manifest.json below the prefix is left alone', async () => {
  world = await actWorld({ journal: true });
  const change = await world.start();
  const body = Buffer.from('{"name": "somebody’s app"}');
  await world.store.replaceSmall('strange/manifest.json', body, 'application/json', null);
  await world.start({}, false).then((other) => other.sweep());
  expect(await change.sweep()).toMatchObject({ gone: 0 });
  expect(await world.state.publications.get(asResourceId('strange'))).toBeNull();
  expect((await world.store.readSmall('strange/manifest.json'))?.body).toEqual(body);
});

test('P1: published blobs that are missing are found by listing, and made again', async () => {
  world = await actWorld({ journal: true });
  const [id, other] = [await world.createTable('a'), await world.createTable('b')];
  await world.start();
  await settled(id, other);
  const [before, untouched] = await Promise.all([world.manifest(id), world.manifest(other)]);
  await world.store.delete([before?.blobs.csv?.key ?? '']);
  const sweeping = await world.start({}, false);
  expect(await sweeping.sweep()).toMatchObject({ missingBlobs: 1, changed: 0, missing: 0, orphaned: 0 });
  const after = await eventually(
    'published anew',
    async () => {
      const manifest = await world.manifest(id);
      return manifest?.revision === before?.revision ? null : manifest;
    },
    { seconds: 25 },
  );
  for (const { key } of Object.values(after.blobs)) expect(await world.store.head(key)).not.toBeNull();
  expect((await world.manifest(other))?.revision).toBe(untouched?.revision);
});

test('a listing that knows less than there is makes nothing anew', async () => {
  world = await actWorld({ journal: true });
  const id = await world.createTable('a');
  await world.start();
  await settled(id);
  const { list } = world.store;
  const published = await world.manifest(id);
  world.store.list = async function* (under) {
    for await (const entry of list(under)) if (entry.key !== published?.blobs.csv?.key) yield entry;
  };
  expect(await world.start({}, false).then((change) => change.sweep())).toMatchObject({ missingBlobs: 0 });
});

test('P8: a manifest that cannot be read is its own table’s trouble', async () => {
  world = await actWorld({ journal: true });
  const id = await world.createTable('a');
  const change = await world.start();
  await settled(id);
  for (const name of ['b', 'c']) {
    await world.createTable(name);
    await world.store.replaceSmall(manifestKey(name), Buffer.from('{}'), 'application/json', null);
  }
  const { readSmall } = world.store;
  world.store.readSmall = async (key) => {
    if (key === manifestKey('c')) throw new DumperError('BLOB_STORE_UNAVAILABLE', 'access is denied');
    return readSmall(key);
  };
  const body = Buffer.alloc(17 * 1024 * 1024, ' ');
  const there = await readSmall(manifestKey('b'));
  await world.store.replaceSmall(manifestKey('b'), body, 'application/json', there?.version ?? null);
  const sweeping = await world.start({}, false);
  expect(await sweeping.sweep()).toMatchObject({ unreadable: 2, missing: 2, changed: 0, missingBlobs: 0 });
  await change.enqueueByName(['b', 'c']);
  for (const name of ['b', 'c'])
    await eventually(
      'it says so',
      async () => {
        const record = await world.state.publications.get(asResourceId(name));
        return /16 MiB|denied/.test(record?.lastError ?? '');
      },
      { seconds: 25 },
    );
});

test('a store that reads nothing fails the sweep', async () => {
  world = await actWorld({ journal: true });
  const change = await world.start({}, false);
  for (let number = 0; number < 30; number += 1)
    await world.store.replaceSmall(manifestKey(`t${number}`), Buffer.from('{}'), 'application/json', null);
  world.store.readSmall = () => Promise.reject(new DumperError('BLOB_STORE_UNAVAILABLE', 'out of order'));
  await expect(change.sweep()).rejects.toMatchObject({ code: 'BLOB_STORE_UNAVAILABLE' });
});

test('P20: a sweep of a store without end does not hold up the end', async () => {
  world = await actWorld({ journal: true });
  world.store.list = async function* () {
    for (let number = 0; ; number += 1) {
      await delay(5);
      yield { key: `t/${number}`, bytes: 1, modifiedAt: new Date(0) };
    }
  };
  const change = await world.start();
  const sweeping = expect(change.sweep()).rejects.toMatchObject({ code: 'ABORTED' });
  await delay(100);
  await change.stop(1);
  await sweeping;
});

test('P20: the end waits for what was begun on a hint, before anything it needs is closed', async () => {
  world = await actWorld({ journal: true });
  const [begun, gate] = [Promise.withResolvers<void>(), Promise.withResolvers<void>()];
  const { run } = world.state.scheduleLocks;
  Object.assign(world.state.scheduleLocks, {
    run: async (...turn: Parameters<typeof run>) => {
      begun.resolve();
      await gate.promise;
      return run(...turn);
    },
  });
  const change = await world.start();
  await begun.promise;
  const stopping = change.stop(1).then(() => 'stopped');
  expect(await Promise.race([stopping, delay(1500, 'waiting')])).toBe('waiting');
  gate.resolve();
  expect(await stopping).toBe('stopped');
});
