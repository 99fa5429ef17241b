/**
 * What bounds one live answer, so that it holds its slot, its snapshot and the lock of its table no longer than the
 * settings say (P13, slow clients exhaust nothing): a time to the first row, a time for all of it, and a least rate of its
 * reader.
 */
import type { Config } from '../config/config.ts';
import { DumperError } from '../errors.ts';
import type { LiveSlot } from './live-queue.ts';
import { createReaderPace, type ReaderProgress } from './reader-pace.ts';

interface LiveLimits {
  /** Aborts with the error that says which limit was reached. */
  readonly signal: AbortSignal;
  /** A row is there. */
  onRow(): void;
  stop(): void;
}

type Limits = Pick<
  Config,
  'DUMPER_LIVE_FIRST_ROW_SECONDS' | 'DUMPER_LIVE_MAX_SECONDS' | 'DUMPER_LIVE_MIN_BYTES_PER_SECOND'
>;

/** Over so many seconds of waiting for the reader the least rate counts. */
const leastRateSeconds = 60;
/** Over so many the rate by which the slowest reader is found. */
const evictionSeconds = 10;

export function startLiveLimits(
  limits: Limits,
  slot: Pick<LiveSlot, 'evicted' | 'watch'>,
  progress: () => ReaderProgress,
): LiveLimits {
  const {
    DUMPER_LIVE_FIRST_ROW_SECONDS: firstRowSeconds,
    DUMPER_LIVE_MAX_SECONDS: maxSeconds,
    DUMPER_LIVE_MIN_BYTES_PER_SECOND: leastRate,
  } = limits;
  const controller = new AbortController();
  const pace = createReaderPace(progress, leastRateSeconds);
  slot.watch(() => pace.rate(evictionSeconds));
  const firstRow = setTimeout(() => {
    controller.abort(new DumperError('QUERY_TOO_SLOW', `no row came within ${firstRowSeconds} seconds`));
  }, firstRowSeconds * 1000);
  const whole = setTimeout(() => {
    controller.abort(new DumperError('COPY_STALLED', `the answer took more than ${maxSeconds} seconds`));
  }, maxSeconds * 1000);
  const sampling = setInterval(() => {
    pace.sample();
    const rate = pace.rate(leastRateSeconds);
    if (rate === null || rate >= leastRate) return;
    const reason = `the client took ${Math.round(rate)} bytes a second`;
    controller.abort(new DumperError('COPY_STALLED', reason));
  }, 1000);
  return {
    signal: AbortSignal.any([controller.signal, slot.evicted]),
    onRow: () => clearTimeout(firstRow),
    stop: () => {
      clearTimeout(firstRow);
      clearTimeout(whole);
      clearInterval(sampling);
    },
  };
}
