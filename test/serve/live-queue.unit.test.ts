/** P13: the line for live answers is fair, bounded, and gives slots to those who read. */
import { afterEach, beforeEach, describe, expect, it, vi } from 'vitest';
import { createLiveQueue, type LiveLane, type LiveQueue, type LiveSlot } from '../../src/serve/live-queue.ts';

beforeEach(() => void vi.useFakeTimers());
afterEach(() => {
  expect(vi.getTimerCount()).toBe(0);
  vi.useRealTimers();
});

interface Asked {
  readonly name: string;
  readonly leave: () => void;
  slot: LiveSlot | null | undefined;
}

/** A queue, and who was answered in which order. */
function crowd(size: number, { perClient = 100, waitSeconds = 10 } = {}) {
  const counts: number[] = [];
  const queue: LiveQueue = createLiveQueue({
    size,
    waitSeconds,
    perClient,
    onChange: (_busy, waiting) => counts.push(waiting),
  });
  const order: string[] = [];
  const refused: string[] = [];
  const ask = (client: string, lane: LiveLane = 'large', isBounded = true): Asked => {
    const leaving = new AbortController();
    const name = `${client} ${lane}`;
    const asked: Asked = { name, leave: () => leaving.abort(), slot: undefined };
    void queue.acquire({ lane, client: { key: client, isBounded } }, leaving.signal).then((slot) => {
      asked.slot = slot;
      (slot === null ? refused : order).push(name);
    });
    return asked;
  };
  return { queue, order, refused, ask, waiting: () => counts.at(-1) };
}

const settled = (): Promise<unknown> => vi.advanceTimersByTimeAsync(0);

describe('P13 the line for live answers', () => {
  it('gives a slot at once while there is one, and the next one as soon as it is given back', async () => {
    const { ask, queue, order } = crowd(1);
    const first = ask('one');
    ask('two');
    await settled();
    expect(order).toEqual(['one large']);
    first.slot?.release();
    await settled();
    expect(order).toEqual(['one large', 'two large']);
    first.slot?.release();
    expect(queue.busy()).toBe(1);
    await vi.advanceTimersByTimeAsync(20_000);
  });

  it('lets clients take turns, however many requests one of them has in line', async () => {
    const { ask, order } = crowd(1);
    const held = [ask('greedy'), ask('greedy'), ask('greedy'), ask('greedy'), ask('modest'), ask('late')];
    for (let turn = 0; turn < 6; turn += 1) {
      await settled();
      held.find(({ slot }) => slot)?.slot?.release();
      held.splice(
        held.findIndex(({ slot }) => slot),
        1,
      );
    }
    expect(order.map((name) => name.split(' ')[0])).toEqual([
      'greedy',
      'greedy',
      'modest',
      'late',
      'greedy',
      'greedy',
    ]);
  });

  it('gives a bounded client no more slots of a lane than the setting says, and others the rest', async () => {
    const { ask, order } = crowd(8, { perClient: 2, waitSeconds: 1 });
    for (let count = 0; count < 4; count += 1) ask('network');
    ask('network', 'small');
    for (let count = 0; count < 3; count += 1) ask('known caller', 'large', false);
    await settled();
    expect(order.filter((name) => name === 'network large')).toHaveLength(2);
    expect(order.filter((name) => name === 'network small')).toHaveLength(1);
    expect(order.filter((name) => name === 'known caller large')).toHaveLength(3);
    await vi.advanceTimersByTimeAsync(1000);
  });

  it('never lets a small answer wait behind large ones, and large ones never take the slots kept for small', async () => {
    const { ask, order, waiting } = crowd(8, { waitSeconds: 1 });
    for (let count = 0; count < 10; count += 1) ask(`large ${count}`);
    await settled();
    expect(order).toHaveLength(6);
    ask('reader', 'small');
    ask('other reader', 'small');
    await settled();
    expect(order.slice(6)).toEqual(['reader small', 'other reader small']);
    expect(waiting()).toBe(4);
    await vi.advanceTimersByTimeAsync(1000);
  });

  it('gives the slots of large answers to small ones only while no large one waits', async () => {
    const { ask, order } = crowd(4, { waitSeconds: 1 });
    const held = Array.from({ length: 4 }, (_, index) => ask(`small ${index}`, 'small'));
    await settled();
    expect(order).toHaveLength(4);
    ask('fifth', 'small');
    ask('large one');
    await settled();
    held[0]?.slot?.release();
    await settled();
    expect(order.at(-1)).toBe('large one large');
    await vi.advanceTimersByTimeAsync(1000);
  });

  it('refuses who has waited for the whole patience, and forgets who leaves', async () => {
    const { ask, order, refused, waiting } = crowd(1);
    const first = ask('one');
    ask('patient');
    const leaving = ask('leaving');
    await vi.advanceTimersByTimeAsync(9999);
    expect(refused).toEqual([]);
    leaving.leave();
    await settled();
    expect(refused).toEqual(['leaving large']);
    await vi.advanceTimersByTimeAsync(1);
    expect(refused).toEqual(['leaving large', 'patient large']);
    expect(waiting()).toBe(0);
    first.slot?.release();
    ask('next');
    await settled();
    expect(order).toEqual(['one large', 'next large']);
  });

  it('is bounded: the client with most in line gives up its last, and one with no less than others is refused', async () => {
    const { ask, refused, waiting } = crowd(1, { waitSeconds: 5 });
    ask('holder');
    for (let count = 0; count < 16; count += 1) ask('greedy');
    await settled();
    expect(refused).toEqual([]);
    ask('modest');
    await settled();
    expect(refused).toEqual(['greedy large']);
    ask('greedy');
    await settled();
    expect(refused).toEqual(['greedy large', 'greedy large']);
    expect(waiting()).toBe(16);
    await vi.advanceTimersByTimeAsync(5000);
  });
});

describe('P13 readers that are slow', () => {
  const kibibyte = 1024;

  it('the slowest goes first, one at a time, when somebody has waited for half of the patience', async () => {
    const { ask, order } = crowd(4);
    const readers = ['fast', 'slow', 'slowest'].map((name) => ask(name));
    await settled();
    const rates = [900 * kibibyte, 100 * kibibyte, 20 * kibibyte];
    readers.forEach(({ slot }, index) => slot?.watch(() => rates[index] ?? null));
    const evicted = (): (boolean | undefined)[] => readers.map(({ slot }) => slot?.evicted.aborted);
    await vi.advanceTimersByTimeAsync(60_000);
    expect(evicted()).toEqual([false, false, false]);
    ask('next');
    await vi.advanceTimersByTimeAsync(4900);
    expect(evicted()).toEqual([false, false, false]);
    await vi.advanceTimersByTimeAsync(3000);
    // Its backend has not ended yet: nobody else has to go.
    expect(evicted()).toEqual([false, false, true]);
    readers[2]?.slot?.release();
    await settled();
    expect(order.at(-1)).toBe('next large');
    await vi.advanceTimersByTimeAsync(60_000);
    expect(evicted()).toEqual([false, false, true]);
  });

  it('fast ones, and those whose rate is not known yet, never go', async () => {
    const { ask, refused } = crowd(3);
    const readers = [ask('fast'), ask('new')];
    await settled();
    readers[0]?.slot?.watch(() => 256 * kibibyte);
    ask('next');
    await vi.advanceTimersByTimeAsync(10_000);
    expect(readers.map(({ slot }) => slot?.evicted.aborted)).toEqual([false, false]);
    expect(refused).toEqual(['next large']);
  });

  it('nobody goes for a client that has its share already', async () => {
    const { ask } = crowd(3, { perClient: 1 });
    const readers = [ask('network'), ask('slow')];
    await settled();
    readers[1]?.slot?.watch(() => 1);
    ask('network');
    await vi.advanceTimersByTimeAsync(10_000);
    expect(readers[1]?.slot?.evicted.aborted).toBe(false);
  });
});
