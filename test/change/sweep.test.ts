/** P20, P21: a sweep whose surroundings fail, are strange or have no end. */
import { setTimeout as delay } from 'node:timers/promises';
import { afterEach, expect, test } from 'vitest';
import { manifestKey } from '../../src/dump/manifest.ts';
import { asResourceId } from '../../src/table.ts';
import { eventually } from '../world/eventually.ts';
import { actWorld, type ActWorld } from './world.ts';

let world: ActWorld;

afterEach(async () => {
  await world.stop();
});

test('the journal’s upkeep fails: tables are compared and published all the same', async () => {
  world = await actWorld({ journal: true });
  const failing = `LANGUAGE plpgsql AS $$ BEGIN RAISE 'out of order'; END $$`;
  await world.write.query(`CREATE OR REPLACE FUNCTION datastore_dumper.fold() RETURNS void ${failing};
    CREATE OR REPLACE FUNCTION datastore_dumper.attach(target text, wait_milliseconds integer)
      RETURNS boolean ${failing}`);
  const id = await world.createTable('a');
  const change = await world.start();
  expect(await change.sweep()).toMatchObject({ tables: 1, exact: 0, attached: 0 });
  await eventually('published', () => world.isFresh(id));
});

test('P8: listing the store ends neither a table’s failures nor their back-off', async () => {
  world = await actWorld({ journal: true });
  const id = await world.createTable('a');
  const working = await world.start();
  await eventually('published', () => world.isFresh(id));
  await eventually('recorded', async () => (await world.state.records.get(id))?.token);
  world.beforePublish = () => Promise.reject(new Error('out of order'));
  await world.write.query(`INSERT INTO a (a) VALUES ('x')`);
  const failed = await eventually('failed', async () => {
    const record = await world.state.records.get(id);
    return record?.life === 'failing' ? record : null;
  });
  await working.stop(1);
  const other = await world.start({}, false);
  expect(await other.sweep()).toMatchObject({ changed: 1, states: { failed: 1 } });
  const { life, attempts, lastError, lastErrorAt } = failed;
  expect(await world.state.records.get(id)).toMatchObject({ life, attempts, lastError, lastErrorAt });
  await world.store.delete([manifestKey('a')]);
  const third = await world.start({}, false);
  expect(await third.sweep()).toMatchObject({ missing: 1 });
  expect(await world.state.records.get(id)).toMatchObject({ life, attempts, lastError, lastErrorAt });
});

test('a stranger’s manifest.json below the prefix is left alone', async () => {
  world = await actWorld({ journal: true });
  const change = await world.start();
  const body = Buffer.from('{"name": "somebody’s app"}');
  await world.store.replaceSmall('strange/manifest.json', body, 'application/json', null);
  await world.start({}, false).then((other) => other.sweep());
  expect(await change.sweep()).toMatchObject({ gone: 0 });
  expect(await world.state.records.get(asResourceId('strange'))).toBeNull();
  expect((await world.store.readSmall('strange/manifest.json'))?.body).toEqual(body);
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
