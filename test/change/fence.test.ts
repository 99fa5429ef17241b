/** P5: workers never interleave or regress on a table; losing the state database repeats no generation. */
import { fork } from 'node:child_process';
import { once } from 'node:events';
import path from 'node:path';
import { Client } from 'pg';
import { afterEach, beforeEach, expect, test } from 'vitest';
import { openState, type State } from '../../src/state/state.ts';
import { asResourceId } from '../../src/postgres/table.ts';
import { eventually } from '../world/eventually.ts';
import { freshDatabase, type Database } from '../world/postgres.ts';

const id = asResourceId('t');
let database: Database;
let states: State[];
const errors: Error[] = [];

beforeEach(async () => {
  database = await freshDatabase();
  states = [];
});

afterEach(async () => {
  await Promise.all(states.map((state) => state.close()));
  await database.drop();
  expect(errors.splice(0)).toEqual([]);
});

async function open(leaseSeconds = 2): Promise<State> {
  const state = await openState({
    url: database.stateUrl,
    leaseSeconds,
    onIdleError: (error) => errors.push(error),
  });
  states.push(state);
  return state;
}

test('several processes start at once on an empty database, and again', async () => {
  await Promise.all(Array.from({ length: 5 }, () => open()));
  expect((await open()).fence).toBeDefined();
});

test('P5: one holder at a time, generations grow, the manifest of a lost state included', async () => {
  const [one, two] = [await open(), await open()];
  expect(await one.fence.take(id, 0)).toBe(1);
  await expect(two.fence.take(id, 0)).rejects.toMatchObject({ code: 'SUPERSEDED' });
  expect(await one.fence.take(id, 0), 'its own holder may take it again').toBe(2);
  await one.fence.release(id);
  expect(await two.fence.take(id, 41)).toBe(42);
  await two.fence.release(id);
  await one.pool.query('TRUNCATE dumper.publication');
  expect(await one.fence.take(id, 42)).toBe(43);
});

test('P5: of many that want a table at once, one gets it', async () => {
  const all = await Promise.all(Array.from({ length: 6 }, () => open()));
  const results = await Promise.allSettled(all.map((state) => state.fence.take(id, 0)));
  expect(results.filter((result) => result.status === 'fulfilled')).toHaveLength(1);
});

test('P5: superseded, or with the state lost meanwhile, the switch does not happen', async () => {
  const state = await open();
  const generation = await state.fence.take(id, 0);
  let switched = 0;
  const action = async (): Promise<string> => `done ${++switched}`;
  expect(await state.fence.switchUnder(id, generation, action)).toEqual({ kind: 'done', value: 'done 1' });
  await state.fence.take(id, 0);
  expect(await state.fence.switchUnder(id, generation, action)).toEqual({ kind: 'superseded' });
  await state.pool.query('TRUNCATE dumper.publication');
  expect(await state.fence.switchUnder(id, generation + 1, action)).toEqual({ kind: 'superseded' });
  expect(switched).toBe(1);
});

test('P5: nobody takes over while a switch is under way', async () => {
  const [one, two] = [await open(), await open()];
  const generation = await one.fence.take(id, 0);
  const inside = Promise.withResolvers<void>();
  const release = Promise.withResolvers<void>();
  const order: string[] = [];
  const switching = one.fence.switchUnder(id, generation, async () => {
    inside.resolve();
    await release.promise;
    order.push('switched');
  });
  await inside.promise;
  const taking = eventually('taken over', () => two.fence.take(id, 0), { seconds: 25 }).then(() =>
    order.push('taken'),
  );
  await eventually('the other waits for the row', async () => {
    const { rows } = await one.pool.query(
      `SELECT FROM pg_stat_activity WHERE wait_event_type = 'Lock' AND datname = current_database()`,
    );
    return rows.length > 0;
  });
  release.resolve();
  await switching;
  await one.fence.release(id);
  await taking;
  expect(order).toEqual(['switched', 'taken']);
});

test('P5: a killed holder is succeeded when its lease ends, a stopped one cannot switch afterwards', async () => {
  const state = await open();
  for (const signal of ['SIGKILL', 'SIGSTOP'] as const) {
    const child = fork(path.join(import.meta.dirname, 'fence-child.ts'), [database.stateUrl, id]);
    try {
      const [generation] = (await once(child, 'message')) as [number];
      await expect(state.fence.take(id, 0)).rejects.toMatchObject({ code: 'SUPERSEDED' });
      child.kill(signal);
      const next = await eventually('taken over', () => state.fence.take(id, 0), { seconds: 25 });
      expect(next).toBeGreaterThan(generation);
      if (signal === 'SIGSTOP') {
        child.kill('SIGCONT');
        child.send('switch');
        expect((await once(child, 'message'))[0]).toBe('superseded');
      }
      await state.fence.release(id);
    } finally {
      child.kill('SIGKILL');
    }
  }
});

test('a heartbeat keeps the lease, and says how far the publication is', async () => {
  const [one, two] = [await open(1), await open(1)];
  await one.fence.take(id, 0);
  one.fence.progress(id, 1234);
  await eventually('the beat tells', async () => (await two.publications.get(id))?.rowsDone === 1234, {
    seconds: 30,
  });
  const { rows } = await one.pool.query(`SELECT beat_at > began_at AS beats FROM dumper.publication`);
  expect(rows).toEqual([{ beats: true }]);
  expect((await two.publications.get(id))?.state).toBe('building');
});

test('each occasion of the schedule is one replica’s, and none overlaps', async () => {
  const [one, two] = [await open(), await open()];
  const at = (second: number): Date => new Date(Date.UTC(2026, 0, 1, 0, 0, second));
  const release = Promise.withResolvers<void>();
  let ran = 0;
  const slow = one.scheduleLocks.run('sweep', at(0), async () => {
    ran += 1;
    await release.promise;
  });
  await eventually('the first runs', () => ran === 1);
  const other = async (second: number): Promise<boolean> =>
    two.scheduleLocks.run('sweep', at(second), async () => {
      ran += 1;
    });
  expect(await other(0)).toBe(false);
  expect(await other(1)).toBe(false);
  release.resolve();
  expect(await slow).toBe(true);
  expect(await other(0)).toBe(false);
  expect(await other(2)).toBe(true);
  expect(ran).toBe(2);
});

test('a database that cannot be asked is said to be that', async () => {
  const url = new URL(database.stateUrl);
  url.password = 'wrong';
  url.port = '1';
  const opening = openState({ url: url.href, onIdleError: (error) => errors.push(error) });
  await expect(opening).rejects.toMatchObject({ code: 'STATE_UNAVAILABLE' });
});

test('a role that owns only its schema is enough', async () => {
  const admin = new Client({ connectionString: database.stateUrl });
  await admin.connect();
  const { rows } = await admin.query(
    'SELECT rolsuper, rolcreatedb FROM pg_roles WHERE rolname = current_user',
  );
  await admin.end();
  expect(rows).toEqual([{ rolsuper: false, rolcreatedb: false }]);
  expect(await (await open()).fence.take(id, 0)).toBe(1);
});
