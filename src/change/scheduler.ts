/**
 * The scheduled tasks: the sweep, and the rebuild of everything where one is set. One replica runs each scheduled time
 * of a task, and none begins while the one before still runs (P5: replicas never double work).
 */
import { schedule } from 'node-cron';
import { createTaskTracker } from '../async/task-tracker.ts';
import { isDumperError, errorMessage } from '../errors.ts';
import type { Log } from '../log.ts';
import type { ScheduleLocks } from '../state/schedule-lock.ts';

export interface ScheduledTask {
  readonly name: string;
  /** A cron expression; five or six fields, in the server's time zone. */
  readonly expression: string;
  readonly run: () => Promise<void>;
}

interface Scheduler {
  /** Starts no more tasks; resolves when those that run have ended. */
  stop(): Promise<void>;
}

export function startScheduler(
  tasks: readonly ScheduledTask[],
  locks: Pick<ScheduleLocks, 'run'>,
  log: Log,
): Scheduler {
  const running = createTaskTracker();
  const scheduled = tasks.map((task) =>
    schedule(
      task.expression,
      ({ date }) => void running.add(runScheduled(task, locks, wholeSecond(date), log)),
    ),
  );
  return {
    stop: async () => {
      await Promise.all(scheduled.map((task) => task.destroy()));
      await running.settled();
    },
  };
}

/** The clocks of replicas differ by a little: all of them name the same second. */
function wholeSecond(date: Date): Date {
  return new Date(Math.round(date.getTime() / 1000) * 1000);
}

async function runScheduled(
  task: ScheduledTask,
  locks: Pick<ScheduleLocks, 'run'>,
  scheduledAt: Date,
  log: Log,
): Promise<void> {
  try {
    await locks.run(task.name, scheduledAt, task.run);
  } catch (error) {
    if (isDumperError(error, 'ABORTED')) return;
    log.error({ task: task.name, reason: errorMessage(error) }, 'a scheduled task failed');
  }
}
