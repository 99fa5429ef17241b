/** Questions to CKAN in their lines: no caller takes another's place, slow is not down, down is asked little (P13, P21). */
import http from 'node:http';
import type { AddressInfo } from 'node:net';
import { afterEach, describe, expect, it, vi } from 'vitest';
import { createCkan, type Ckan, type CkanAnswer } from '../../src/ckan/client.ts';
import { createFairLine } from '../../src/ckan/fair-line.ts';
import { eventually } from '../world/eventually.ts';

const ending: (() => unknown)[] = [];
afterEach(async () => {
  vi.useRealTimers();
  for (const end of ending.splice(0).toReversed()) await end();
});

type Respond = (response: http.ServerResponse) => void;

const allow: Respond = (response) =>
  response
    .writeHead(200, { 'content-type': 'application/json' })
    .end(JSON.stringify({ success: true, result: {} }));
const drop: Respond = (response) => response.socket?.resetAndDestroy();

interface World {
  readonly ckan: Ckan;
  /** Tokens of the questions that CKAN has not answered yet. */
  readonly held: Map<http.ServerResponse, string>;
  ask(token?: string): Promise<CkanAnswer>;
}

async function ckanThat(answer: (token: string) => Respond | 'hold', timeoutSeconds = 30): Promise<World> {
  const held: World['held'] = new Map();
  const server = http.createServer((request, response) => {
    const token = request.headers.authorization ?? '';
    const respond = answer(token);
    if (respond !== 'hold') return respond(response);
    held.set(response, token);
    response.on('close', () => held.delete(response));
  });
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  const siteUrl = `http://127.0.0.1:${(server.address() as AddressInfo).port}`;
  const ckan = createCkan({ siteUrl, timeoutSeconds, now: Date.now });
  ending.push(() => {
    ckan.close();
    server.closeAllConnections();
    return new Promise((resolve) => server.close(resolve));
  });
  const ask = (token?: string): Promise<CkanAnswer> => {
    const credentials: Record<string, string> = token === undefined ? {} : { authorization: token };
    return ckan.ask({ action: 'x', parameters: {}, credentials, method: 'GET' });
  };
  return { ckan, held, ask };
}

const numbered = (count: number, prefix: string): string[] =>
  Array.from({ length: count }, (_, index) => `${prefix}${index}`);

describe('P13: one caller against all others', () => {
  it('a flood of made-up tokens that CKAN leaves waiting takes nothing from anonymous and known callers', async () => {
    const { ask, held } = await ckanThat((token) => (token.startsWith('made-up') ? 'hold' : allow));
    expect((await ask('member')).kind).toBe('answer');
    const flood = numbered(200, 'made-up-').map((token) => ask(token));
    const refused = await Promise.race(flood);
    expect(refused).toMatchObject({ kind: 'unavailable', reason: expect.stringContaining('wait') });
    await eventually('four are asked', () => held.size === 4);
    for (let round = 0; round < 20; round += 1) {
      expect((await ask()).kind).toBe('answer');
      expect((await ask('member')).kind).toBe('answer');
    }
    expect(held.size).toBe(4);
  });

  it("dropped credentials never open another's breaker, and open their own", async () => {
    let dropped = 0;
    const { ask } = await ckanThat((token) => {
      if (!token.startsWith('made-up')) return allow;
      dropped += 1;
      return drop;
    });
    expect((await ask('member')).kind).toBe('answer');
    for (const token of numbered(50, 'made-up-')) expect((await ask(token)).kind).toBe('unavailable');
    expect(dropped).toBeLessThan(20);
    expect((await ask()).kind).toBe('answer');
    expect((await ask('member')).kind).toBe('answer');
  });
});

describe('P21: slow is not down', () => {
  it('a caller whose questions time out leaves the breaker closed', async () => {
    let isSlow = true;
    const { ask } = await ckanThat(() => (isSlow ? 'hold' : allow), 0.05);
    for (let round = 0; round < 10; round += 1) {
      expect(await ask('token')).toMatchObject({ reason: expect.stringContaining('in time') });
    }
    isSlow = false;
    expect((await ask('token')).kind).toBe('answer');
  });

  it('an anonymous question whose first attempt hangs is asked once more, and that answer counts', async () => {
    let asked = 0;
    const { ask, held } = await ckanThat(() => {
      asked += 1;
      return asked === 2 ? 'hold' : allow;
    });
    expect((await ask()).kind).toBe('answer');
    expect((await ask()).kind).toBe('answer');
    expect(asked).toBe(3);
    await eventually('the first attempt is cancelled', () => held.size === 0);
  });

  it('second attempts are few where CKAN hangs for everybody; none for a caller of its own', async () => {
    let isSlow = false;
    let asked = 0;
    const { ask } = await ckanThat(() => {
      asked += 1;
      return isSlow ? 'hold' : allow;
    }, 0.4);
    expect((await ask()).kind).toBe('answer');
    isSlow = true;
    asked = 0;
    const answers = await Promise.all(numbered(20, 'anonymous').map(() => ask()));
    expect(new Set(answers.map(({ kind }) => kind))).toEqual(new Set(['unavailable']));
    expect((await ask('member')).kind).toBe('unavailable');
    expect(asked).toBeLessThanOrEqual(20 + 2 + 1);
  });
});

describe('a line', () => {
  const options = { places: 2, placesEach: 2, waitingEach: 2, membersWaiting: 2, waitMilliseconds: 1000 };

  it('its members take turns, however many each has waiting', async () => {
    const line = createFairLine(options);
    const leave = await line.enter('greedy');
    await line.enter('greedy');
    const order: string[] = [];
    const enter = (member: string, name: string): void =>
      void line.enter(member).then((given) => {
        order.push(given === null ? `${name} refused` : name);
        given?.();
      });
    enter('greedy', 'greedy 1');
    enter('greedy', 'greedy 2');
    enter('greedy', 'greedy 3');
    enter('modest', 'modest 1');
    enter('third', 'third 1');
    await eventually('two are refused at once', () => order.length === 2);
    expect(order).toEqual(['greedy 3 refused', 'third 1 refused']);
    leave?.();
    await eventually('all are served', () => order.length === 5);
    expect(order.slice(2)).toEqual(['greedy 1', 'modest 1', 'greedy 2']);
  });

  it('nobody holds more than its share, and nobody waits for ever', async () => {
    vi.useFakeTimers();
    const line = createFairLine({ ...options, placesEach: 1 });
    const leave = await line.enter('greedy');
    const second = line.enter('greedy');
    expect(await line.enter('modest')).not.toBeNull();
    await vi.advanceTimersByTimeAsync(1000);
    expect(await second).toBeNull();
    leave?.();
    expect(await line.enter('greedy')).not.toBeNull();
  });
});
