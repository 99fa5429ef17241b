/** P5, P8, P15 at the queue: one job a table, retried, dead letters counted, taken over, small beside large. */
import { fork, type ChildProcess } from 'node:child_process';
import { once } from 'node:events';
import path from 'node:path';
import { afterEach, beforeEach, expect, test, vi } from 'vitest';
import { createLog } from '../../src/log.ts';
import { openQueue, type HandleJob, type Queue, type QueueOptions } from '../../src/change/queue.ts';
import { asResourceId, type ResourceId } from '../../src/postgres/table.ts';
import { eventually } from '../world/eventually.ts';
import { freshDatabase, type Database } from '../world/postgres.ts';

// Measured with a busy machine, and room beyond.
vi.setConfig({ testTimeout: 90_000 });

let database: Database;
let queues: Queue[];

beforeEach(async () => {
  database = await freshDatabase();
  queues = [];
});

afterEach(async () => {
  await Promise.all(queues.map((queue) => queue.stop(1)));
  await database.drop();
});

async function open(options: Partial<QueueOptions> = {}): Promise<Queue> {
  const queue = await openQueue({
    url: database.stateUrl,
    log: createLog('silent'),
    slots: 2,
    smallTableBytes: 1000,
    maxSeconds: 600,
    retry: { limit: 2, delaySeconds: 1, delayMaxSeconds: 1 },
    ...options,
  });
  queues.push(queue);
  return queue;
}

const job = (name: string, delaySeconds = 0, tableBytes = 1) => ({
  id: asResourceId(name),
  delaySeconds,
  tableBytes,
});
const done = { kind: 'done' } as const;

test('P15: a flood for one table costs one job waiting, and one more while it runs', async () => {
  const [one, two] = [await open(), await open()];
  const runs: ResourceId[] = [];
  let running = 0;
  let most = 0;
  const release = Promise.withResolvers<void>();
  const handle: HandleJob = async (id) => {
    runs.push(id);
    most = Math.max(most, ++running);
    if (runs.length === 1) await release.promise;
    running -= 1;
    return done;
  };
  await Promise.all(Array.from({ length: 50 }, (_, turn) => (turn % 2 ? one : two).send([job('a', 1)])));
  expect(await one.depth()).toEqual({ waiting: 1, active: 0, dead: 0 });
  await Promise.all([one.work(handle), two.work(handle)]);
  await eventually('the job runs', () => runs.length === 1, { seconds: 25 });
  await Promise.all(Array.from({ length: 50 }, () => one.send([job('a')])));
  expect(await one.depth()).toEqual({ waiting: 1, active: 1, dead: 0 });
  release.resolve();
  await eventually('all done', async () => (await one.depth()).waiting + (await one.depth()).active === 0, {
    seconds: 25,
  });
  expect(runs).toEqual(['a', 'a']);
  expect(most).toBe(1);
});

test('P8: a failing table is retried, then a dead letter; a large one holds up no small ones', async () => {
  const queue = await open();
  const tries: number[] = [];
  const small: ResourceId[] = [];
  const release = Promise.withResolvers<void>();
  await queue.work(async (id, attempt) => {
    if (id === 'broken') {
      tries.push(attempt);
      throw new Error('it is broken');
    }
    if (id === 'large') await release.promise;
    else small.push(id);
    return done;
  });
  await queue.send([
    job('large', 0, 5000),
    job('larger', 0, 5000),
    job('broken'),
    ...Array.from({ length: 40 }, (_, n) => job(`s${n}`)),
  ]);
  await eventually('small ones are through', () => small.length === 40, { seconds: 25 });
  await eventually('the broken one is a dead letter', async () => (await queue.depth()).dead === 1, {
    seconds: 25,
  });
  expect(tries).toEqual([0, 1, 2]);
  expect(await queue.depth()).toEqual({ waiting: 1, active: 1, dead: 1 });
  release.resolve();
  await eventually('the large ones end', async () => (await queue.depth()).active === 0, { seconds: 25 });
});

test('a job that comes too early is looked at again', async () => {
  const queue = await open();
  const seen: ResourceId[] = [];
  await queue.work(async (id) => {
    seen.push(id);
    return seen.length < 3 ? { kind: 'reschedule', request: job('early', 1) } : done;
  });
  await queue.send([job('early')]);
  await eventually('the third look', () => seen.length === 3, { seconds: 25 });
});

test('P5: the job of a killed worker is done by another', async () => {
  const child: ChildProcess = fork(path.join(import.meta.dirname, 'queue-child.ts'), [database.stateUrl]);
  try {
    const queue = await open();
    await queue.send([job('orphan')]);
    await once(child, 'message');
    child.kill('SIGKILL');
    const runs: ResourceId[] = [];
    await queue.work(async (id) => {
      runs.push(id);
      return done;
    });
    await eventually('another worker took it', () => runs.length === 1, { seconds: 25 });
  } finally {
    child.kill('SIGKILL');
  }
});
