/**
 * The first act, a table changed: three ways to hear of it (notices, the journal's NOTIFY, the sweep), one queue, one
 * worker that makes table and manifest equal.
 *
 * This file starts the parts of the act and stops them in the opposite order; what they need comes in as arguments.
 */
import type pg from 'pg';
import { createTaskTracker, type TaskTracker } from '../async/task-tracker.ts';
import type { BlobStore } from '../blob-store/blob-store.ts';
import type { CkanProfile } from '../ckan/profile.ts';
import type { TaskStatusReporter } from '../ckan/task-status.ts';
import type { Config } from '../config/config.ts';
import { DumperError, isDumperError, errorMessage } from '../errors.ts';
import type { Log } from '../log.ts';
import type { Queryable } from '../postgres/pool.ts';
import { allTables, createStabilityTracker, type StabilityTracker } from '../postgres/revision.ts';
import type { Publisher } from '../publish/publisher.ts';
import type { ScheduleLocks } from '../state/schedule-lock.ts';
import type { State } from '../state/state.ts';
import { createEnqueue, type Enqueue } from './enqueue.ts';
import { listenForChanges } from './listener.ts';
import { openQueue, type Queue, type QueueOptions } from './queue.ts';
import { startScheduler, type ScheduledTask } from './scheduler.ts';
import { sweep, sweepSettings, withAbort } from './sweep.ts';
import type { SweepDeps, SweepMemory, SweepReport } from './sweep.ts';
import { createVisibilityWatcher, type AnonymousRights, type VisibilityWatcher } from './visibility.ts';
import { createWebhookReceiver, type WebhookReceived } from './webhook.ts';
import { createJobHandler } from './worker.ts';

export interface ChangeDeps {
  readonly config: Config;
  readonly log: Log;
  /** The read role's pool: tokens, the sweep. */
  readonly read: pg.Pool;
  /** The owner's pool, where its URL is given. */
  readonly write: Queryable | null;
  readonly state: Pick<State, 'publications' | 'scheduleLocks'>;
  readonly store: BlobStore;
  readonly profile: () => CkanProfile;
  readonly now: () => Date;
  /** Null: hear and queue only, publish nothing here (`DUMPER_ROLE=serve`). */
  readonly publisher: Publisher | null;
  /** Null: CKAN is not told. */
  readonly taskStatus: TaskStatusReporter | null;
  /** What CKAN says of anonymous users; nothing is sweepDeps without it. */
  readonly rights?: AnonymousRights;
  /** Fed by the sweep; give `serve` the same one where both run in this process. */
  readonly stability?: StabilityTracker;
  readonly onSweep?: (report: SweepReport) => void;
  /** A change was published so many seconds after it was first noticed. */
  readonly onLag?: (seconds: number) => void;
}

export interface Change {
  /** A notice's headers and body: what to answer. The tables that it names are queued when this resolves. */
  readonly receiveWebhook: WebhookReceived;
  readonly enqueueByName: Enqueue['enqueueByName'];
  readonly enqueueStale: Enqueue['enqueueStale'];
  /** Publish these at once, whether they changed or not. */
  readonly rebuild: Enqueue['enqueueRebuild'];
  /** CKAN has said whether anonymous users may read a table. */
  readonly onVisibility: VisibilityWatcher['onVisibility'];
  /** Compare every table now, in this process, whoever holds the schedule lock. */
  sweep(): Promise<SweepReport>;
  readonly depth: Queue['depth'];
  /** Take no jobs while paused: others with later settings have them. */
  readonly setPaused: Queue['setPaused'];
  /** Stop listening, let running publications end within `graceSeconds`, then abort them; others take them over. */
  stop(graceSeconds: number): Promise<void>;
}

export async function startChange(deps: ChangeDeps): Promise<Change> {
  const { config, log, read, write, store, profile, publisher, taskStatus, rights, onLag, now } = deps;
  const { publications, scheduleLocks } = deps.state;
  const timing = {
    quietSeconds: config.DUMPER_QUIET_SECONDS,
    hotTableFactor: config.DUMPER_HOT_TABLE_FACTOR,
  };
  const smallTableBytes = config.DUMPER_SMALL_TABLE_MIB * 1024 * 1024;
  const [stopping, draining] = [new AbortController(), new AbortController()];
  const tasks = createTaskTracker();
  const queue = await openQueue(queueOptions(config, log, smallTableBytes));
  const enqueue = createEnqueue({ read, publications, queue, timing, taskStatus });
  const { enqueueTables, enqueueByName, enqueueStale, enqueueRebuild } = enqueue;
  const published = { store, publications, enqueue: enqueueTables, log };
  const visibility = rights ? createVisibilityWatcher({ ...published, rights }) : null;
  const stability = deps.stability ?? createStabilityTracker();
  const sweepDeps = { ...sweepSettings(config), ...published, read, write, profile, stability, now };
  const runSweep = createSweep(withAbort(sweepDeps, stopping.signal), deps.onSweep, async () => {
    if (config.DUMPER_PUBLIC_BLOB_URL !== undefined) await visibility?.check();
  });
  let stopHearing = async (): Promise<void> => undefined;
  if (publisher !== null) {
    const worker = {
      publisher,
      publications,
      read,
      timing,
      smallTableBytes,
      draining: draining.signal,
      onLag,
    };
    await queue.work(createJobHandler(worker));
    const parts = { config, log, read, scheduleLocks, tasks, now, signal: stopping.signal };
    stopHearing = startHearing(parts, enqueue, runSweep);
  }
  return {
    receiveWebhook: createWebhookReceiver(config.DUMPER_NOTICE_SECRET ?? '', now, enqueueByName),
    enqueueByName,
    enqueueStale,
    rebuild: enqueueRebuild,
    onVisibility: async (id, isPublic) => {
      if (visibility === null || stopping.signal.aborted) return 'unchanged';
      return tasks.add(visibility.onVisibility(id, isPublic));
    },
    sweep: runSweep,
    depth: queue.depth,
    setPaused: queue.setPaused,
    stop: async (graceSeconds) => {
      stopping.abort(new DumperError('ABORTED', 'the process ends'));
      await stopHearing();
      await tasks.settled();
      const timer = setTimeout(() => draining.abort(), graceSeconds * 1000);
      await queue.stop(graceSeconds + 5);
      clearTimeout(timer);
    },
  };
}

function queueOptions(config: Config, log: Log, smallTableBytes: number): QueueOptions {
  return {
    url: config.DUMPER_STATE_URL ?? '',
    log,
    slots: config.DUMPER_PUBLISH_SLOTS,
    smallTableBytes,
    maxSeconds: config.DUMPER_PUBLISH_MAX_SECONDS,
  };
}

/** Every so often the sweep lists the whole blob store. */
const listEverySeconds = 3600;

function createSweep(
  deps: SweepDeps,
  onSweep: ((report: SweepReport) => void) | undefined,
  checkVisibility: () => Promise<void>,
): () => Promise<SweepReport> {
  const memory: SweepMemory = { manyGone: false };
  let listedAt = -Infinity;
  return async () => {
    const listStore = deps.now().getTime() - listedAt > listEverySeconds * 1000;
    const report = await sweep(deps, memory, { listStore });
    if (listStore) listedAt = deps.now().getTime();
    onSweep?.(report);
    await checkVisibility();
    return report;
  };
}

interface HearingParts extends Pick<ChangeDeps, 'config' | 'log' | 'read' | 'now'> {
  readonly scheduleLocks: ScheduleLocks;
  readonly tasks: TaskTracker;
  readonly signal: AbortSignal;
}

/** Start the listener and the scheduled tasks; returns what stops both, once the signal has aborted. */
function startHearing(
  { config, log, read, scheduleLocks, tasks, now, signal }: HearingParts,
  { enqueueByName, enqueueRebuild }: Enqueue,
  runSweep: () => Promise<unknown>,
): () => Promise<void> {
  const inBackground = (work: Promise<unknown>): void => {
    tasks.add(work).catch((error: unknown) => {
      if (!isDumperError(error, 'ABORTED'))
        log.warn({ reason: errorMessage(error) }, 'a change was not queued; the next sweep finds it');
    });
  };
  const sweepTask = async (): Promise<void> => void (await runSweep());
  // The queue's slots bound how many of all tables are built at a time.
  const rebuildTask = async (): Promise<void> => enqueueRebuild([...(await allTables(read)).keys()]);
  const listening = listenForChanges({
    url: config.CKAN_DATASTORE_READ_URL ?? '',
    log,
    signal,
    onChange: (name) => inBackground(enqueueByName([name])),
    onListening: () => inBackground(scheduleLocks.run('sweep', now(), sweepTask)),
  });
  const { DUMPER_SWEEP_CRON, DUMPER_REBUILD_CRON } = config;
  const scheduled: ScheduledTask[] = [{ name: 'sweep', expression: DUMPER_SWEEP_CRON, run: sweepTask }];
  if (DUMPER_REBUILD_CRON !== undefined)
    scheduled.push({ name: 'rebuild', expression: DUMPER_REBUILD_CRON, run: rebuildTask });
  const scheduler = startScheduler(scheduled, scheduleLocks, log);
  return async () => void (await Promise.all([scheduler.stop(), listening]));
}
