/** P13: what bounds one live answer. */
import { afterEach, beforeEach, describe, expect, it, vi } from 'vitest';
import { startLiveLimits } from '../../src/serve/live-limits.ts';

beforeEach(() => void vi.useFakeTimers());
afterEach(() => {
  expect(vi.getTimerCount()).toBe(0);
  vi.useRealTimers();
});

/** A reader that is waited for from the first moment, or never. */
function reader(bytesPerSecond: number, isWaitedFor = true) {
  const startedAt = performance.now();
  let rate: () => number | null = () => null;
  const state = { bytesPerSecond };
  let takenBytes = 0;
  const taking = setInterval(() => {
    takenBytes += state.bytesPerSecond;
  }, 1000);
  const limits = startLiveLimits(
    {
      DUMPER_LIVE_FIRST_ROW_SECONDS: 20,
      DUMPER_LIVE_MAX_SECONDS: 600,
      DUMPER_LIVE_MIN_BYTES_PER_SECOND: 16_384,
    },
    { evicted: new AbortController().signal, watch: (watched) => (rate = watched) },
    () => ({ waitedMilliseconds: isWaitedFor ? performance.now() - startedAt : 0, takenBytes }),
  );
  return {
    limits,
    state,
    rate: () => rate(),
    stop: () => {
      clearInterval(taking);
      limits.stop();
    },
  };
}

describe('P13 a live answer', () => {
  it('is given up when no row comes in time', async () => {
    const { limits, stop } = reader(0, false);
    await vi.advanceTimersByTimeAsync(19_999);
    expect(limits.signal.aborted).toBe(false);
    await vi.advanceTimersByTimeAsync(1);
    expect(limits.signal.reason).toMatchObject({ code: 'QUERY_TOO_SLOW', status: 503 });
    stop();
  });

  it('is broken off after its longest time, however fast it is read', async () => {
    const { limits, stop } = reader(10_000_000);
    limits.onRow();
    await vi.advanceTimersByTimeAsync(599_999);
    expect(limits.signal.aborted).toBe(false);
    await vi.advanceTimersByTimeAsync(1);
    expect(limits.signal.reason).toMatchObject({ code: 'COPY_STALLED' });
    stop();
  });

  it('is broken off when its reader takes less than the least rate for a minute, and not before', async () => {
    const { limits, state, stop } = reader(20_000);
    limits.onRow();
    await vi.advanceTimersByTimeAsync(200_000);
    expect(limits.signal.aborted).toBe(false);
    state.bytesPerSecond = 8000;
    await vi.advanceTimersByTimeAsync(10_000);
    expect(limits.signal.aborted).toBe(false);
    await vi.advanceTimersByTimeAsync(50_000);
    expect(limits.signal.reason).toMatchObject({ code: 'COPY_STALLED' });
    stop();
  });

  it('is not broken off for a Postgres that is slow', async () => {
    const { limits, stop, rate } = reader(100, false);
    limits.onRow();
    await vi.advanceTimersByTimeAsync(599_000);
    expect([limits.signal.aborted, rate()]).toEqual([false, null]);
    stop();
  });

  it('tells the rate of the last ten seconds', async () => {
    const { limits, state, rate, stop } = reader(1_000_000);
    limits.onRow();
    await vi.advanceTimersByTimeAsync(9000);
    expect(rate()).toBeNull();
    await vi.advanceTimersByTimeAsync(21_000);
    expect(rate()).toBe(1_000_000);
    state.bytesPerSecond = 30_000;
    await vi.advanceTimersByTimeAsync(10_000);
    expect(rate()).toBe(30_000);
    stop();
  });
});
