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
import { retireSecondsOf } from '../publish/publisher.ts';
import { DumperError, isDumperError, reasonOf } from '../errors.ts';
import type { Log } from '../log.ts';
import type { Queryable } from '../postgres/pool.ts';
import { allTables, createRestMemory, tableState, type RestMemory } from '../postgres/revision.ts';
import type { State } from '../state/state.ts';
import type { ResourceId } from '../postgres/table.ts';
import { createUnderWay, type UnderWay } from '../async/task-tracker.ts';
import { createHandler, type AttemptWorld, type PublishRequest } from './worker.ts';
import { endingWith } from './ending.ts';
import { listen } from './listener.ts';
import { createLook } from './enqueue.ts';
import { createReplayGuard, readNotice, type Notice, type NoticeRequest } from './webhook.ts';
import { openQueue, type Queue, type QueueDepth } from './queue.ts';
import { createReaders, type AnonymousRights, type Readers } from './visibility.ts';
import { startSchedule } from './scheduler.ts';
import { sweep, type SweepMemory, type SweepReport } from './sweep.ts';

export interface ChangeWorld {
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
  readonly withdraw: (id: ResourceId) => Promise<boolean>;
  /** What CKAN says of anonymous users; nothing is compared without it. */
  readonly rights?: AnonymousRights;
  /** Fed by the sweep; give `serve` the same one where both run in this process. */
  readonly rest?: RestMemory;
  /** False: hear and queue only, publish nothing here (`DUMPER_ROLE=serve`). True unless given. */
  readonly working?: boolean;
  readonly onSweep?: (report: SweepReport) => void;
  /** A change was published so many seconds after the first word of it. */
  readonly onLag?: (seconds: number) => void;
}

export interface Change {
  /** A notice's headers and body: what to answer. Tables it names are queued when this resolves. */
  notice(request: NoticeRequest): Promise<Notice>;
  /** Names of tables worth a look. */
  look(names: readonly string[]): Promise<void>;
  /** An answer found this table's dump stale or missing. */
  stale(id: ResourceId): Promise<void>;
  /** CKAN has said whether anonymous users may read a table. */
  readersHeard: Readers['heard'];
  /** Publish these whether changed or not. */
  rebuild(ids: readonly ResourceId[]): Promise<void>;
  /** Compare every table now, on this process, whoever's turn it is. */
  sweep(): Promise<SweepReport>;
  depth(): Promise<QueueDepth>;
  /** Take no jobs while resting: others with later settings have them. */
  rest: Queue['rest'];
  /** Stop hearing, let running publications end within `graceSeconds`, then abort them; others take them over. */
  stop(graceSeconds: number): Promise<void>;
}

/** Every so often the sweep lists the blob store whole. */
const listEverySeconds = 3600;

export async function startChange(world: ChangeWorld): Promise<Change> {
  const { config, state, log } = world;
  const pace = {
    quietSeconds: config.DUMPER_QUIET_SECONDS,
    hotTableFactor: config.DUMPER_HOT_TABLE_FACTOR,
  };
  const smallTableBytes = config.DUMPER_SMALL_TABLE_MIB * 1024 * 1024;
  const queue = await openConfigured(config, log, smallTableBytes);
  const look = createLook({ read: world.read, records: state.records, queue, pace });
  const rebuild = async (ids: readonly ResourceId[]): Promise<void> => {
    const asked = ids.map((id) => ({ id, rebuild: true }));
    await queue.sendNow(await state.records.noticed(asked, pace));
  };
  const { rights } = world;
  const readers = rights ? createReaders({ ...world, rights, records: state.records, look: look.at }) : null;
  const stopping = new AbortController();
  const runSweep = createSweep(endingWith(world, stopping.signal), look.at, readers);
  const draining = new AbortController();
  const underWay = createUnderWay();
  const guard = createReplayGuard();
  const stopWork =
    world.working === false
      ? null
      : await startWork(
          { ...world, queue, pace, smallTableBytes },
          {
            look: look.named,
            rebuild,
            sweep: runSweep,
            underWay,
            stopping: stopping.signal,
            draining: draining.signal,
          },
        );
  return {
    notice: async (request) => {
      const notice = readNotice(request, config.DUMPER_NOTICE_SECRET ?? '', world.now(), guard);
      if (notice.kind === 'accepted') await look.named(notice.names);
      return notice;
    },
    look: look.named,
    stale: look.stale,
    readersHeard: async (id, anyone) => {
      if (readers === null || stopping.signal.aborted) return 'as published';
      return underWay.add(readers.heard(id, anyone));
    },
    rebuild,
    sweep: runSweep,
    depth: () => queue.depth(),
    rest: (resting) => queue.rest(resting),
    stop: async (graceSeconds) => {
      stopping.abort(new DumperError('ABORTED', 'the process ends'));
      await stopWork?.();
      await underWay.settled();
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
  world: ChangeWorld,
  look: (notices: readonly { id: ResourceId }[]) => Promise<void>,
  readers: Readers | null,
) {
  const memory: SweepMemory = { manyGone: false };
  const rest = world.rest ?? createRestMemory();
  let listedAt = -Infinity;
  return async (): Promise<SweepReport> => {
    const listStore = world.now().getTime() - listedAt > listEverySeconds * 1000;
    const report = await sweep(
      {
        ...world,
        rest,
        look,
        records: world.state.records,
        variants: world.config.DUMPER_FORMATS,
        lockSeconds: world.config.DUMPER_LOCK_SECONDS,
        retireSeconds: retireSecondsOf(world.config),
        maxSeconds: world.config.DUMPER_PUBLISH_MAX_SECONDS,
      },
      memory,
      { listStore },
    );
    if (listStore) listedAt = world.now().getTime();
    world.onSweep?.(report);
    if (world.config.DUMPER_PUBLIC_BLOB_URL !== undefined) await readers?.check();
    return report;
  };
}

interface WorkParts {
  readonly look: (names: readonly string[]) => Promise<void>;
  readonly rebuild: (ids: readonly ResourceId[]) => Promise<void>;
  readonly sweep: () => Promise<SweepReport>;
  readonly underWay: UnderWay;
  readonly stopping: AbortSignal;
  /** Aborts running publications. */
  readonly draining: AbortSignal;
}

/** Workers, listener and schedule; resolves with what stops listener and schedule. */
async function startWork(
  world: ChangeWorld & { queue: Queue; pace: AttemptWorld['pace']; smallTableBytes: number },
  parts: WorkParts,
): Promise<() => Promise<void>> {
  const { config, log, state, read } = world;
  const handle = createHandler({
    ...world,
    fence: state.fence,
    records: state.records,
    sizeOf: async (id) => (await tableState(read, id))?.bytes ?? null,
  });
  await world.queue.work((id, attempts, signal) =>
    handle(id, attempts, AbortSignal.any([signal, parts.draining])),
  );
  const hint = (work: Promise<unknown>): void => {
    parts.underWay.add(work).catch((error: unknown) => {
      if (!isDumperError(error, 'ABORTED'))
        log.warn({ reason: reasonOf(error) }, 'a hint was lost; the sweep finds it');
    });
  };
  const sweepInTurn = (): Promise<unknown> =>
    state.turns.run('sweep', world.now(), async () => void (await parts.sweep()));
  const listening = listen({
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
  const schedule = startSchedule(errands, state.turns, log);
  return async () => {
    await Promise.all([schedule.stop(), listening]);
  };
}
