/** P20: the real program told to end with ten downloads and two publications in flight. */
import { spawn, type ChildProcess } from 'node:child_process';
import { once } from 'node:events';
import path from 'node:path';
import { afterEach, expect, test } from 'vitest';
import { recordCount } from '../world/counts.ts';
import { eventually } from '../world/eventually.ts';
import { freePort } from '../world/postgres.ts';
import { startSlowClient, type SlowClient } from '../world/slow-client.ts';
import { install, type Installation } from './installation.ts';

let world: Installation;
let program: ChildProcess;

afterEach(async () => {
  program.kill('SIGKILL');
  await world.close();
});

const tables = ['big-1', 'big-2'];

interface Busy {
  readonly base: string;
  readonly clients: readonly SlowClient[];
  readonly exit: Promise<unknown[]>;
}

/** The program, serving, with ten slow downloads and two publications under way. */
async function busyProgram(drainSeconds: string): Promise<Busy> {
  world = await install();
  const owner = await world.connect();
  for (const table of tables) {
    await owner.query(`CREATE TABLE public."${table}" (_id serial PRIMARY KEY, _full_text tsvector, a text);
      INSERT INTO public."${table}" (a) SELECT repeat('x', 300) || i FROM generate_series(1, 120000) i`);
  }
  const port = await freePort();
  const main = path.join(import.meta.dirname, '../../src/main.ts');
  program = spawn(process.execPath, ['--disable-warning=ExperimentalWarning', main, 'serve'], {
    env: {
      PATH: process.env['PATH'],
      ...world.settings,
      DUMPER_PORT: String(port),
      DUMPER_DRAIN_SECONDS: drainSeconds,
      DUMPER_LIVE_SLOTS: '10',
      DUMPER_PUBLISH_SLOTS: '4',
    },
    stdio: ['ignore', 'ignore', 'pipe'],
  });
  const exit = once(program, 'exit');
  const base = `http://127.0.0.1:${port}`;
  await eventually('it listens', async () => (await fetch(`${base}/healthz`)).ok);
  const clients = Array.from({ length: 10 }, (_, index) =>
    startSlowClient(`${base}/datastore/dump/${tables[index % 2]}?latest=true`, { bytesPerSecond: 20_000 }),
  );
  await eventually('every download has begun', () => clients.every((client) => client.status === 200));
  const building = async (table: string): Promise<boolean> => {
    const headers = { authorization: 'Bearer admin' };
    const { state } = (await (await fetch(`${base}/status/${table}`, { headers })).json()) as {
      state: string;
    };
    if (state !== 'building') await fetch(`${base}/status/${table}/rebuild`, { method: 'POST', headers });
    return state === 'building';
  };
  await eventually('both tables are being published', async () =>
    (await Promise.all(tables.map(building))).every(Boolean),
  );
  return { base, clients, exit };
}

test('P20 SIGTERM with ten downloads and two publications in flight: exit 0, no short answer looks whole', async () => {
  const { clients, exit } = await busyProgram('1');
  program.kill('SIGTERM');
  expect(await exit).toEqual([0, null]);
  const ended = await Promise.all(clients.map((client) => client.ended));
  expect(ended.map(({ kind }) => kind)).toEqual(ended.map(() => 'broken'));
  await world.sweep(7200);
  expect(await world.litter(tables)).toEqual([]);
  recordCount('P20', 'downloads under way at SIGTERM, none short and taken for whole', clients.length);
});

test('P20 a second signal exits at once, whatever the grace', async () => {
  const { base, exit } = await busyProgram('3000');
  program.kill('SIGTERM');
  await eventually('it takes no more requests', () =>
    fetch(`${base}/healthz`).then(
      () => false,
      () => true,
    ),
  );
  expect(program.exitCode).toBeNull();
  program.kill('SIGTERM');
  expect(await exit).toEqual([1, null]);
});
