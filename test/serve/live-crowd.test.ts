/** More readers than live slots, slow ones, and those that leave (promises P12, P13, P19). */
import { connect } from 'node:net';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { eventually } from '../world/eventually.ts';
import { startFaultProxy, type FaultProxy } from '../world/fault-proxy.ts';
import { ask, startServing, type Serving } from './serving.ts';
import { openClient } from './slow-client.ts';

const big = 'c0000000-0000-4000-8000-0000000000d1';
const little = 'c0000000-0000-4000-8000-0000000000d2';
const middle = 'c0000000-0000-4000-8000-0000000000d3';
const path = `/datastore/dump/${big}?latest=true`;

let serving: Serving;
let limited: Serving;
let link: FaultProxy;

beforeAll(async () => {
  serving = await startServing({
    environment: { DUMPER_LIVE_SLOTS: '3', DUMPER_LIVE_WAIT_SECONDS: '60' },
  });
  await serving.createTable(big, 40_000);
  await serving.createTable(middle, 3000);
  await serving.createTable(little, 3);
  for (const id of [big, middle]) await serving.publish(id);
  limited = await startServing({
    environment: { DUMPER_LIVE_MAX_SECONDS: '2', DUMPER_LIVE_FIRST_ROW_SECONDS: '2' },
    liveUrl: async (database) => {
      const { hostname, port } = new URL(database.readUrl);
      link = await startFaultProxy({ host: hostname, port: Number(port) });
      return link.through(database.readUrl);
    },
  });
  // more than the buffers of two sockets hold
  await limited.createTable(big, 60_000);
});
afterAll(async () => {
  await Promise.all([serving.close(), limited.close()]);
  await link.stop();
});

const free = ({ world }: Serving): Promise<unknown> =>
  eventually('every slot is free', () => world.slots.busy() === 0, { seconds: 20 });

/** By others than its owner's connection. */
async function isLocked({ owner }: Serving): Promise<boolean> {
  const { rows } = await owner.query(
    `SELECT FROM pg_locks WHERE relation = '"${big}"'::regclass AND granted AND pid <> pg_backend_pid()`,
  );
  return rows.length > 0;
}

/** Broken answers by cause, so far. */
async function broken({ world }: Serving): Promise<Record<string, number>> {
  const { values } = await world.metrics.brokenAnswers.get();
  return Object.fromEntries(values.map(({ labels, value }) => [String(labels.cause), value]));
}

describe('P13 more readers than slots', () => {
  it('wait their turn and are all answered whole; a bounded client gets no more than its share', async () => {
    const answers = await Promise.all(
      Array.from({ length: 9 }, (_, index) =>
        ask(`${serving.url}${path}`, { headers: { 'x-forwarded-for': `203.0.113.${index % 3}` } }),
      ),
    );
    expect(answers.map(({ status }) => status)).toEqual(answers.map(() => 200));
    expect(new Set(answers.map(({ text }) => text.length)).size).toBe(1);
    await free(serving);
  });

  it('a reader that takes nothing is reset after the longest time, and the lock behind it is given', async () => {
    const stalled = openClient({ port: limited.port, path, paused: true });
    await eventually('the answer holds its lock', () => isLocked(limited));
    await limited.owner.query('BEGIN');
    await limited.owner.query(`LOCK TABLE "${big}" IN ACCESS EXCLUSIVE MODE`);
    await limited.owner.query('ROLLBACK');
    stalled.socket.resume();
    expect(await stalled.ended).toBe('reset');
    await free(limited);
    expect(await broken(limited)).toEqual({ stall: 1 });
  });

  it('whose first row does not come in time is a 503 with Retry-After, and its slot is free', async () => {
    limited.world.livePool.once('acquire', (client) => {
      const query = client.query.bind(client);
      client.query = ((...asked: Parameters<typeof query>) => {
        if (Object.hasOwn(Object(asked[0]), 'submit')) link.set({ blackhole: true });
        return query(...asked);
      }) as typeof client.query;
    });
    const late = await ask(`${limited.url}${path}`);
    link.pass();
    link.reset();
    expect([late.status, late.headers.get('retry-after'), late.text]).toEqual([
      503,
      '5',
      'The answer did not begin in time; ask for less, or try again later\n',
    ]);
    await free(limited);
  });
});

interface Received {
  /** The beginning: more than the head. */
  readonly start: string;
  readonly bytes: number;
}

/** Ask, and close the connection as soon as `isEnough` says so. */
async function closeWhen(target: string, isEnough: (received: Received) => boolean): Promise<Received> {
  const socket = connect({ port: serving.port, host: '127.0.0.1', noDelay: true });
  const { promise, resolve } = Promise.withResolvers<Received>();
  let received: Received = { start: '', bytes: 0 };
  socket.on('error', () => undefined).on('close', () => resolve(received));
  socket.on('data', (chunk) => {
    const { start, bytes } = received;
    received = {
      start: start.length > 2000 ? start : start + chunk.toString('latin1'),
      bytes: bytes + chunk.length,
    };
    if (isEnough(received)) socket.destroy();
  });
  socket.write(`GET ${target} HTTP/1.1\r\nHost: dump\r\n\r\n`);
  return promise;
}

/** By its length alone, as Python's http.client reads. */
function hasLastByte({ start, bytes }: Received): boolean {
  const end = start.indexOf('\r\n\r\n');
  const length = /^content-length: (\d+)/im.exec(start.slice(0, Math.max(end, 0)))?.[1];
  return length !== undefined && bytes >= end + 4 + Number(length);
}

const dumpLines = (): number =>
  serving.log.filter((line) => line.includes('"msg":"request"') && line.includes('/datastore/dump/')).length;

describe('P19 who broke an answer off', () => {
  it.each([
    ['a blob through the service', `/datastore/dump/${middle}?redirect=false`],
    ['a small live answer', `/datastore/dump/${little}?latest=true`],
  ])('%s is whole for a client that closes on its last byte', async (_what, target) => {
    const [before, lines] = [await broken(serving), dumpLines()];
    for (let count = 0; count < 20; count += 1)
      expect(hasLastByte(await closeWhen(target, hasLastByte))).toBe(true);
    await eventually('every answer has its line', () => dumpLines() === lines + 20);
    expect(await broken(serving)).toEqual(before);
  });

  it.each([
    ['a blob through the service', `/datastore/dump/${big}?redirect=false`],
    ['a live answer', path],
  ])('%s that a client leaves counts as the client, not as the store or Postgres', async (_what, target) => {
    const [before, lines] = [await broken(serving), dumpLines()];
    for (let count = 0; count < 5; count += 1) await closeWhen(target, ({ bytes }) => bytes > 100_000);
    await eventually('every answer has its line', () => dumpLines() === lines + 5);
    expect(await broken(serving)).toEqual({ ...before, client: (before['client'] ?? 0) + 5 });
    await free(serving);
  });

  it('who leaves the line is the client too, and holds nothing', async () => {
    const before = await broken(serving);
    const stalled = [1, 2].map(() => openClient({ port: serving.port, path, paused: true }));
    await eventually('the slots are taken', () => serving.world.slots.busy() === 2);
    const lines = dumpLines();
    const waiting = openClient({ port: serving.port, path });
    waiting.socket.once('connect', () => setImmediate(() => waiting.socket.destroy()));
    await eventually('it has its line', () => dumpLines() > lines);
    expect((await broken(serving))['client']).toBe((before['client'] ?? 0) + 1);
    for (const { socket } of stalled) socket.destroy();
    await free(serving);
  });
});
