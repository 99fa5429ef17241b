/** When CKAN is asked anew, and what counts while it does not answer: a CKAN whose answers come when the test says so. */
import { afterEach, describe, expect, it, vi } from 'vitest';
import type { Ckan, CkanAnswer, CkanRequest } from '../../src/ckan/client.ts';
import { createLog } from '../../src/log.ts';
import { anonymous, type Caller } from '../../src/serve/caller.ts';
import { createPermission, type Permission } from '../../src/serve/permission.ts';
import { callerWait, renewalPause } from '../../src/serve/renewal.ts';

const member: Caller = { key: 'member', credentials: { authorization: 'token' } };
const allowed: CkanAnswer = { kind: 'answer', status: 200, result: {}, error: undefined };
const refused: CkanAnswer = { kind: 'answer', status: 403, result: undefined, error: undefined };
const silent: CkanAnswer = { kind: 'unavailable', status: 0, reason: 'CKAN cannot be asked' };
const loginPage: CkanAnswer = { kind: 'unavailable', status: 200, reason: 'CKAN answered 200 without JSON' };

afterEach(() => vi.useRealTimers());

interface SlowCkan {
  readonly permission: Permission;
  readonly asked: CkanRequest[];
  /** How CKAN answers from now on, and after how long. */
  set(answer: CkanAnswer, seconds: number): void;
  /** The clock, with all that is due meanwhile. */
  advance(seconds: number): Promise<void>;
  /** What a caller is told, and after how many seconds. */
  ask(caller?: Caller): Promise<readonly [string, number]>;
}

function slowCkan(options: { graceSeconds?: number } = {}): SlowCkan {
  vi.useFakeTimers();
  const asked: CkanRequest[] = [];
  const now = { answer: allowed, seconds: 0 };
  const ckan: Ckan = {
    ask: async (request) => {
      // Stock CKAN, as is known after the first question.
      if (request.action === 'datastore_authorize') return { ...refused, status: 400 };
      asked.push(request);
      const { answer, seconds } = now;
      await new Promise((resolve) => setTimeout(resolve, seconds * 1000));
      return answer;
    },
    close: () => undefined,
  };
  const permission = createPermission({
    ckan,
    decisionSeconds: 10,
    waitSeconds: 5,
    publicTables: [],
    shared: null,
    now: Date.now,
    log: createLog('silent'),
    ...options,
  });
  const advance = async (seconds: number): Promise<void> => {
    await vi.advanceTimersByTimeAsync(seconds * 1000);
  };
  return {
    permission,
    asked,
    advance,
    set: (answer, seconds) => Object.assign(now, { answer, seconds }),
    ask: async (caller = anonymous) => {
      const started = Date.now();
      const told: (readonly [string, number])[] = [];
      void permission.mayRead('a', caller).then(({ kind }) => {
        told.push([kind, (Date.now() - started) / 1000]);
      });
      await advance(0);
      for (let waited = 0; told.length === 0 && waited < 600; waited += 1) await advance(0.1);
      const [first] = told;
      if (first === undefined) throw new Error('never told');
      return first;
    },
  };
}

describe('a decision is renewed before it ends', () => {
  it('in the background: nobody waits while the old one counts', async () => {
    const { asked, set, ask, advance } = slowCkan();
    expect(await ask()).toEqual(['allowed', 0]);
    set(allowed, 2);
    await advance(9.5);
    expect(await ask()).toEqual(['allowed', 0]);
    expect(asked).toHaveLength(2);
    expect(asked.at(-1)).toMatchObject({ credentials: {}, background: true });
    // CKAN has been seen to be slow: it is asked earlier from now on, and nobody waits again.
    for (let second = 0; second < 60; second += 1) {
      await advance(2.2);
      const [kind, waited] = await ask();
      expect([kind, second > 0 && waited > 0]).toEqual(['allowed', false]);
    }
  });

  it('P10: its life runs from when it was asked for, and a loss that the renewal finds counts at once', async () => {
    const { set, ask, advance } = slowCkan();
    await ask();
    set(refused, 0.5);
    await advance(9.2);
    expect((await ask())[0]).toBe('allowed');
    await advance(0.6);
    expect(await ask()).toEqual(['refused', 0]);
  });

  it('a CKAN that takes 8.9 s: a crowd at one table is served after the first wait, by few questions', async () => {
    const { asked, set, ask, advance } = slowCkan();
    set(allowed, 8.9);
    expect(await ask()).toEqual(['unavailable', 5]);
    await advance(3.95);
    const from = Date.now();
    while (Date.now() - from < 120_000) {
      await advance(0.5);
      const [kind, waited] = await ask();
      expect([kind, waited <= 5]).toEqual(['allowed', true]);
    }
    expect(asked.length).toBeLessThan((130 / 8.9) * 3);
  });

  it('not for what is not asked for, not for a caller of its own', async () => {
    const { asked, ask, advance, set } = slowCkan();
    await ask();
    await advance(60);
    expect(asked).toHaveLength(1);
    set(refused, 0);
    await ask(member);
    const before = asked.length;
    await advance(9.5);
    await ask(member);
    expect(asked).toHaveLength(before);
  });
});

describe('P11: while CKAN does not answer', () => {
  it('nothing counts beyond its decision unless a grace is set; nobody waits for what is overdue', async () => {
    const { set, ask, advance } = slowCkan();
    await ask();
    set(silent, 30);
    await advance(10);
    expect(await ask()).toEqual(['unavailable', 5]);
    expect(await ask()).toEqual(['unavailable', 0]);
  });

  it('with a grace what everybody could read counts for so long more, and is told soon', async () => {
    const { set, ask, advance } = slowCkan({ graceSeconds: 60 });
    await ask();
    set(silent, 30);
    await advance(10);
    expect(await ask()).toEqual(['allowed', 1]);
    expect(await ask()).toEqual(['allowed', 0]);
    await advance(58);
    expect((await ask())[0]).toBe('allowed');
    await advance(2);
    expect((await ask())[0]).toBe('unavailable');
  });

  it('no grace after CKAN has said otherwise, by a refusal or by what is no answer', async () => {
    const { set, ask, advance } = slowCkan({ graceSeconds: 3600 });
    await ask();
    set(loginPage, 0);
    await advance(10);
    expect((await ask())[0]).toBe('unavailable');
    set(refused, 0);
    expect((await ask())[0]).toBe('refused');
    set(silent, 0);
    await advance(10);
    expect((await ask())[0]).toBe('unavailable');
  });

  it('no grace for what only some may read, none for publications', async () => {
    const { set, ask, advance, permission } = slowCkan({ graceSeconds: 3600 });
    await ask();
    set(silent, 0);
    await advance(10);
    const [isPublic] = await Promise.all([permission.isPublic('a'), advance(0.1)]);
    expect(isPublic).toBeNull();
    const other = slowCkan({ graceSeconds: 3600 });
    other.set(refused, 0);
    await other.ask();
    other.set(allowed, 0);
    expect((await other.ask(member))[0]).toBe('allowed');
    other.set(silent, 0);
    await other.advance(10);
    expect((await other.ask(member))[0]).toBe('unavailable');
  });

  it("CKAN's search renews what it has granted for the life of a decision, and grants nothing", async () => {
    const { set, ask, advance, permission } = slowCkan();
    permission.onListed(['a'], Date.now());
    set(silent, 0);
    expect((await ask())[0]).toBe('unavailable');
    set(allowed, 0);
    expect((await ask())[0]).toBe('allowed');
    set(silent, 0);
    await advance(8);
    permission.onListed(['a'], Date.now());
    await advance(9.9);
    expect((await ask())[0]).toBe('allowed');
    await advance(0.2);
    expect((await ask())[0]).toBe('unavailable');
  });
});

describe('how early', () => {
  const pauseAt = (latencySeconds: number): number =>
    renewalPause({
      lifeMilliseconds: 10_000,
      waitMilliseconds: 5000,
      latencyMilliseconds: latencySeconds * 1000,
    }) / 1000;

  it('the slower CKAN, the earlier; never so often that it makes CKAN slower', () => {
    expect(pauseAt(0)).toBe(9);
    expect(pauseAt(2)).toBe(7.5);
    expect(pauseAt(5)).toBe(3.75);
    expect(pauseAt(8.9)).toBeCloseTo(4.45);
    // Slower than life and wait: asking more often would help nobody.
    expect(pauseAt(30)).toBe(30);
    for (let latency = 0; latency < 60; latency += 0.1)
      expect(pauseAt(latency)).toBeGreaterThanOrEqual(Math.max(1, latency / 4));
  });

  it('a caller waits for what may still come, and not for what is overdue', () => {
    const wait = (age: number, latency: number, hasFallback = false): number =>
      callerWait(
        { waitMilliseconds: 5000, latencyMilliseconds: latency * 1000 },
        { ageMilliseconds: age * 1000, hasFallback },
      ) / 1000;
    expect([wait(0, 0), wait(3, 0), wait(5, 0), wait(20, 0)]).toEqual([5, 2, 0, 0]);
    expect([wait(5, 9), wait(15, 9), wait(18, 9)]).toEqual([5, 3, 0]);
    expect([wait(0, 9, true), wait(0.5, 9, true), wait(5, 9, true)]).toEqual([1, 0.5, 0]);
  });
});
