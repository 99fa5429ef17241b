/**
 * The schedule: the sweep, and the bulk regeneration where one is asked for. Each occasion is one replica's, and none
 * begins while the one before still runs (promise P5).
 */
import { schedule } from 'node-cron';
import { isDumperError, errorMessage } from '../errors.ts';
import type { Log } from '../log.ts';
import type { ScheduleLocks } from '../state/schedule-lock.ts';
import { createTaskTracker } from '../async/task-tracker.ts';

export interface ScheduledTask {
  readonly name: string;
  /** A cron expression; five or six fields, in the server's time zone. */
  readonly expression: string;
  readonly run: () => Promise<void>;
}

export interface Scheduler {
  /** Fires no more; resolves when the errand under way, if any, has ended. */
  stop(): Promise<void>;
}

export function startScheduler(errands: readonly ScheduledTask[], turns: ScheduleLocks, log: Log): Scheduler {
  const running = createTaskTracker();
  const tasks = errands.map((errand) =>
    schedule(
      errand.expression,
      ({ date }) => void running.add(runScheduled(errand, turns, scheduledSecond(date), log)),
    ),
  );
  return {
    stop: async () => {
      await Promise.all(tasks.map((task) => task.destroy()));
      await running.settled();
    },
  };
}

/** Clocks of replicas differ by a little: all name the same second. */
function scheduledSecond(date: Date): Date {
  return new Date(Math.round(date.getTime() / 1000) * 1000);
}

async function runScheduled(
  errand: ScheduledTask,
  turns: ScheduleLocks,
  occasion: Date,
  log: Log,
): Promise<void> {
  try {
    await turns.run(errand.name, occasion, errand.run);
  } catch (error) {
    if (isDumperError(error, 'ABORTED')) return;
    log.error({ errand: errand.name, reason: errorMessage(error) }, 'a scheduled errand failed');
  }
}
