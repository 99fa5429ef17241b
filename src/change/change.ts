/**
 * The first act: a table changed. Three ways to hear of it (notices, the journal's NOTIFY, the sweep), one queue, one
 * handler that makes table and manifest equal.
 *
 * This file starts the act's parts and stops them in the opposite order; what they need comes in as arguments.
 */
import type pg from 'pg';
import type { BlobStore } from '../blob-store/blob-store.ts';
import type { CkanProfile } from '../ckan/profile.ts';
import type { Config } from '../config/config.ts';
import type { PublishOutcome } from '../publish/publish.ts';
import { DumperError, isDumperError, errorMessage } from '../errors.ts';
import type { Log } from '../log.ts';
import type { Queryable } from '../postgres/pool.ts';
import {
  allTables,
  createStabilityTracker,
  tableState,
  type StabilityTracker,
} from '../postgres/revision.ts';
import type { State } from '../state/state.ts';
import type { ResourceId } from '../postgres/table.ts';
import { createTaskTracker, type TaskTracker } from '../async/task-tracker.ts';
import { createJobHandler, type WorkerDeps, type PublishRequest } from './worker.ts';
import { listenForChanges } from './listener.ts';
import { createEnqueue } from './enqueue.ts';
import { createReplayGuard, verifyWebhook, type WebhookResult, type WebhookRequest } from './webhook.ts';
import { openQueue, type Queue, type QueueDepth } from './queue.ts';
import { createVisibilityWatcher, type AnonymousRights, type VisibilityWatcher } from './visibility.ts';
import { startScheduler } from './scheduler.ts';
import { sweep, sweepSettings, withAbort, type SweepMemory, type SweepReport } from './sweep.ts';

export interface ChangeDeps {
  readonly config: Config;
  readonly log: Log;
  /** The read role's pool: tokens, the sweep. */
  readonly read: pg.Pool;
  /** The owner's pool, where its URL is given. */
  readonly write: Queryable | null;
  readonly state: State;
  readonly store: BlobStore;
  readonly profile: () => CkanProfile;
  readonly now: () => Date;
  readonly publish: (id: ResourceId, request: PublishRequest) => Promise<PublishOutcome>;
  readonly unpublish: (id: ResourceId) => Promise<boolean>;
  /** What CKAN says of anonymous users; nothing is compared without it. */
  readonly rights?: AnonymousRights;
  /** Fed by the sweep; give `serve` the same one where both run in this process. */
  readonly stability?: StabilityTracker;
  /** False: hear and queue only, publish nothing here (`DUMPER_ROLE=serve`). True unless given. */
  readonly working?: boolean;
  readonly onSweep?: (report: SweepReport) => void;
  /** A change was published so many seconds after the first word of it. */
  readonly onLag?: (seconds: number) => void;
}

export interface Change {
  /** A notice's headers and body: what to answer. Tables it names are queued when this resolves. */
  receiveWebhook(request: WebhookRequest): Promise<WebhookResult>;
  /** Names of tables worth a look. */
  enqueueByName(names: readonly string[]): Promise<void>;
  /** An answer found this table's dump stale or missing. */
  enqueueStale(id: ResourceId): Promise<void>;
  /** CKAN has said whether anonymous users may read a table. */
  onVisibility: VisibilityWatcher['onVisibility'];
  /** Publish these whether changed or not. */
  rebuild(ids: readonly ResourceId[]): Promise<void>;
  /** Compare every table now, on this process, whoever's turn it is. */
  sweep(): Promise<SweepReport>;
  depth(): Promise<QueueDepth>;
  /** Take no jobs while resting: others with later settings have them. */
  setPaused: Queue['setPaused'];
  /** Stop hearing, let running publications end within `graceSeconds`, then abort them; others take them over. */
  stop(graceSeconds: number): Promise<void>;
}

/** Every so often the sweep lists the blob store whole. */
const listEverySeconds = 3600;

export async function startChange(deps: ChangeDeps): Promise<Change> {
  const { config, state, log } = deps;
  const timing = {
    quietSeconds: config.DUMPER_QUIET_SECONDS,
    hotTableFactor: config.DUMPER_HOT_TABLE_FACTOR,
  };
  const smallTableBytes = config.DUMPER_SMALL_TABLE_MIB * 1024 * 1024;
  const queue = await openConfigured(config, log, smallTableBytes);
  const look = createEnqueue({ read: deps.read, publications: state.publications, queue, timing });
  const rebuild = async (ids: readonly ResourceId[]): Promise<void> => {
    const asked = ids.map((id) => ({ id, rebuild: true }));
    await queue.sendNow(await state.publications.recordChanges(asked, timing));
  };
  const { rights } = deps;
  const readers = rights
    ? createVisibilityWatcher({
        ...deps,
        rights,
        publications: state.publications,
        enqueue: look.enqueueTables,
      })
    : null;
  const stopping = new AbortController();
  const runSweep = createSweep(withAbort(deps, stopping.signal), look.enqueueTables, readers);
  const draining = new AbortController();
  const tasks = createTaskTracker();
  const guard = createReplayGuard();
  const stopWork =
    deps.working === false
      ? null
      : await startWork(
          { ...deps, queue, timing, smallTableBytes },
          {
            look: look.enqueueByName,
            rebuild,
            sweep: runSweep,
            tasks,
            stopping: stopping.signal,
            draining: draining.signal,
          },
        );
  return {
    receiveWebhook: async (request) => {
      const notice = verifyWebhook(request, config.DUMPER_NOTICE_SECRET ?? '', deps.now(), guard);
      if (notice.kind === 'accepted') await look.enqueueByName(notice.names);
      return notice;
    },
    enqueueByName: look.enqueueByName,
    enqueueStale: look.enqueueStale,
    onVisibility: async (id, anyone) => {
      if (readers === null || stopping.signal.aborted) return 'unchanged';
      return tasks.add(readers.onVisibility(id, anyone));
    },
    rebuild,
    sweep: runSweep,
    depth: () => queue.depth(),
    setPaused: (resting) => queue.setPaused(resting),
    stop: async (graceSeconds) => {
      stopping.abort(new DumperError('ABORTED', 'the process ends'));
      await stopWork?.();
      await tasks.settled();
      const timer = setTimeout(() => draining.abort(), graceSeconds * 1000);
      await queue.stop(graceSeconds + 5);
      clearTimeout(timer);
    },
  };
}

function openConfigured(config: Config, log: Log, smallTableBytes: number): Promise<Queue> {
  return openQueue({
    url: config.DUMPER_STATE_URL ?? '',
    log,
    slots: config.DUMPER_PUBLISH_SLOTS,
    smallTableBytes,
    maxSeconds: config.DUMPER_PUBLISH_MAX_SECONDS,
  });
}

function createSweep(
  deps: ChangeDeps,
  enqueue: (notices: readonly { id: ResourceId }[]) => Promise<void>,
  readers: VisibilityWatcher | null,
) {
  const memory: SweepMemory = { manyGone: false };
  const stability = deps.stability ?? createStabilityTracker();
  let listedAt = -Infinity;
  return async (): Promise<SweepReport> => {
    const listStore = deps.now().getTime() - listedAt > listEverySeconds * 1000;
    const report = await sweep(
      {
        ...deps,
        stability,
        enqueue,
        publications: deps.state.publications,
        ...sweepSettings(deps.config),
      },
      memory,
      { listStore },
    );
    if (listStore) listedAt = deps.now().getTime();
    deps.onSweep?.(report);
    if (deps.config.DUMPER_PUBLIC_BLOB_URL !== undefined) await readers?.check();
    return report;
  };
}

interface WorkParts {
  readonly look: (names: readonly string[]) => Promise<void>;
  readonly rebuild: (ids: readonly ResourceId[]) => Promise<void>;
  readonly sweep: () => Promise<SweepReport>;
  readonly tasks: TaskTracker;
  readonly stopping: AbortSignal;
  /** Aborts running publications. */
  readonly draining: AbortSignal;
}

/** Workers, listener and schedule; resolves with what stops listener and schedule. */
async function startWork(
  deps: ChangeDeps & { queue: Queue; timing: WorkerDeps['timing']; smallTableBytes: number },
  parts: WorkParts,
): Promise<() => Promise<void>> {
  const { config, log, state, read } = deps;
  const handle = createJobHandler({
    ...deps,
    fence: state.fence,
    publications: state.publications,
    sizeOf: async (id) => (await tableState(read, id))?.bytes ?? null,
  });
  await deps.queue.work((id, attempts, signal) =>
    handle(id, attempts, AbortSignal.any([signal, parts.draining])),
  );
  const hint = (work: Promise<unknown>): void => {
    parts.tasks.add(work).catch((error: unknown) => {
      if (!isDumperError(error, 'ABORTED'))
        log.warn({ reason: errorMessage(error) }, 'a hint was lost; the sweep finds it');
    });
  };
  const sweepInTurn = (): Promise<unknown> =>
    state.scheduleLocks.run('sweep', deps.now(), async () => void (await parts.sweep()));
  const listening = listenForChanges({
    url: config.CKAN_DATASTORE_READ_URL ?? '',
    log,
    signal: parts.stopping,
    onChange: (name) => hint(parts.look([name])),
    onListening: () => hint(sweepInTurn()),
  });
  // Every table goes into the queue, whose slots bound how many are built at once.
  const rebuildAll = async (): Promise<void> => parts.rebuild([...(await allTables(read)).keys()]);
  const errands = [
    { name: 'sweep', expression: config.DUMPER_SWEEP_CRON, run: async () => void (await parts.sweep()) },
    ...(config.DUMPER_REBUILD_CRON === undefined
      ? []
      : [{ name: 'rebuild', expression: config.DUMPER_REBUILD_CRON, run: rebuildAll }]),
  ];
  const schedule = startScheduler(errands, state.scheduleLocks, log);
  return async () => {
    await Promise.all([schedule.stop(), listening]);
  };
}
