/**
 * The schedule: the sweep, and the bulk regeneration where one is asked for. Each occasion is one replica's, and none
 * begins while the one before still runs (promise P5).
 */
import { schedule } from 'node-cron';
import { isDumperError, reasonOf } from '../errors.ts';
import type { Log } from '../log.ts';
import type { Turns } from '../state/schedule-lock.ts';
import { createUnderWay } from '../async/task-tracker.ts';

export interface Errand {
  readonly name: string;
  /** A cron expression; five or six fields, in the server's time zone. */
  readonly expression: string;
  readonly run: () => Promise<void>;
}

export interface Schedule {
  /** Fires no more; resolves when the errand under way, if any, has ended. */
  stop(): Promise<void>;
}

export function startSchedule(errands: readonly Errand[], turns: Turns, log: Log): Schedule {
  const underWay = createUnderWay();
  const tasks = errands.map((errand) =>
    schedule(
      errand.expression,
      ({ date }) => void underWay.add(takeTurn(errand, turns, occasionOf(date), log)),
    ),
  );
  return {
    stop: async () => {
      await Promise.all(tasks.map((task) => task.destroy()));
      await underWay.settled();
    },
  };
}

/** Clocks of replicas differ by a little: all name the same second. */
function occasionOf(date: Date): Date {
  return new Date(Math.round(date.getTime() / 1000) * 1000);
}

async function takeTurn(errand: Errand, turns: Turns, occasion: Date, log: Log): Promise<void> {
  try {
    await turns.run(errand.name, occasion, errand.run);
  } catch (error) {
    if (isDumperError(error, 'ABORTED')) return;
    log.error({ errand: errand.name, reason: reasonOf(error) }, 'a scheduled errand failed');
  }
}
