/**
 * What runs beside the routes: the state database, publishing and the change act. Only this file starts and stops them,
 * each as soon as its dependencies answer (P21: recovery needs no restart). When somebody has created the
 * state database anew, all of them start again on the new one: no answer depends on it, and its records are rebuilt from
 * the manifests (P5: no replica regresses).
 */
import { setTimeout as delay } from 'node:timers/promises';
import type pg from 'pg';
import { retry } from '../async/retry.ts';
import { startChange, type Change, type ChangeDeps } from '../change/change.ts';
import type { SweepReport } from '../change/sweep.ts';
import type { Config } from '../config/config.ts';
import { DumperError, errorMessage } from '../errors.ts';
import type { Log } from '../log.ts';
import type { Metrics } from '../metrics.ts';
import { createPool } from '../postgres/pool.ts';
import { createStabilityTracker, type StabilityTracker } from '../postgres/revision.ts';
import type { AppContext } from './context.ts';
import { openPublishing, type Publishing, type PublishingOptions } from './publishing.ts';

export interface Background {
  /** Null until it has started, and while it starts again. */
  readonly publishing: Publishing | null;
  readonly change: Change | null;
  /** Why publishing has not started, as of the last attempt. */
  readonly fault: string;
  /** The sweep feeds it; answers use it too. */
  readonly stability: StabilityTracker;
  start(): void;
  /** Take no new work, let running publications end within `graceSeconds`, then abort them. */
  drain(graceSeconds: number): Promise<void>;
  close(): Promise<void>;
}

/** What has started. */
interface Running {
  publishing: Publishing | null;
  change: Change | null;
  fault: string;
}

interface Parts {
  readonly context: AppContext;
  readonly options: PublishingOptions;
  readonly stability: StabilityTracker;
  readonly writePool: pg.Pool | null;
  readonly signal: AbortSignal;
}

export function createBackground(context: AppContext, options: PublishingOptions): Background {
  const { config, log } = context;
  const stopping = new AbortController();
  const stability = createStabilityTracker();
  const writePool = openWritePool(config, log);
  const parts = { context, options, stability, writePool, signal: stopping.signal };
  const state: Running = { publishing: null, change: null, fault: 'not connected yet' };
  options.permission.onVisibility((id, isPublic) => void state.change?.onVisibility(id, isPublic));
  let ended = Promise.resolve();
  return {
    stability,
    get publishing() {
      return state.publishing;
    },
    get change() {
      return state.change;
    },
    get fault() {
      return state.fault;
    },
    start: () => {
      ended = run(parts, state);
    },
    drain: async (graceSeconds) => {
      stopping.abort();
      await ended;
      await state.change?.stop(graceSeconds);
    },
    close: async () => {
      await state.publishing?.close();
      await writePool?.end();
    },
  };
}

/** Resolves when the signal aborts; the caller then stops what runs. Never rejects. */
async function run(parts: Parts, state: Running): Promise<void> {
  const { context, signal } = parts;
  const { config, log } = context;
  if (config.DUMPER_STATE_URL === undefined || context.store === null) return;
  try {
    for (;;) {
      await startAll(parts, state);
      await untilStateIsLost(state.publishing, signal);
      log.error('the state database was made anew; starting again on it');
      await stopAll(state);
    }
  } catch (error) {
    if (!signal.aborted) log.error({ reason: errorMessage(error) }, 'publishing did not start');
  }
}

async function startAll(parts: Parts, state: Running): Promise<void> {
  const { context, options, signal } = parts;
  const { log, profiles, metrics } = context;
  const publishing = await retry(() => openPublishing(context, options), {
    what: 'the state database',
    log,
    signal,
    onFault: (reason) => {
      state.fault = reason;
    },
  });
  state.publishing = publishing;
  await Promise.race([profiles.known(), aborted(signal)]);
  const change = await retry(() => startElected(parts, publishing), { what: 'the queue', log, signal });
  state.change = change;
  metrics.sources.queueDepth = () => change.depth();
}

/** Running publications are aborted: their fences are gone. */
async function stopAll(state: Running): Promise<void> {
  const { change, publishing } = state;
  state.fault = 'it was made anew; starting again';
  state.change = null;
  state.publishing = null;
  await change?.stop(0).catch(() => undefined);
  await publishing?.close();
}

/** The change act of a process that publishes only while it is the settings leader. */
async function startElected(parts: Parts, publishing: Publishing): Promise<Change> {
  const { leader } = publishing;
  if (parts.context.config.DUMPER_ROLE === 'serve') return startChange(changeDeps(parts, publishing, null));
  await leader.elect();
  try {
    const change = await startChange(changeDeps(parts, publishing, publishing.publisher));
    leader.onChange((isLeader) => change.setPaused(!isLeader));
    return {
      ...change,
      stop: async (graceSeconds) => {
        leader.stop();
        await change.stop(graceSeconds);
      },
    };
  } catch (error) {
    leader.stop();
    throw error;
  }
}

function changeDeps(
  { context, stability, writePool }: Parts,
  { state, store, taskStatus, rights }: Publishing,
  publisher: ChangeDeps['publisher'],
): ChangeDeps {
  const { config, log, profiles, readPool, metrics, now } = context;
  return {
    config,
    log,
    read: readPool,
    write: writePool,
    state,
    store,
    profile: () => {
      const profile = profiles.current();
      if (profile === null) throw new DumperError('CKAN_UNAVAILABLE', 'the version of CKAN is not known yet');
      return profile;
    },
    now,
    publisher,
    taskStatus,
    rights,
    stability,
    onSweep: (report) => countSweep(metrics, report, now()),
    onLag: (seconds) => metrics.publicationLagSeconds.observe(seconds),
  };
}

function countSweep(metrics: Metrics, report: SweepReport, now: Date): void {
  for (const [state, tables] of Object.entries(report.states)) metrics.tables.set({ state }, tables);
  metrics.oldestStaleSeconds.set(report.oldestStaleSeconds);
  metrics.sweepSeconds.set(report.seconds);
  metrics.sweepTimestamp.set(now.getTime() / 1000);
}

/** Connects when it is first used; null where this process does not look after triggers. */
function openWritePool(config: Config, log: Log): pg.Pool | null {
  if (config.CKAN_DATASTORE_WRITE_URL === undefined) return null;
  return createPool({
    url: config.CKAN_DATASTORE_WRITE_URL,
    applicationName: 'datastore-dumper triggers',
    size: 1,
    // folding a journal that has grown for long takes minutes
    queryTimeoutSeconds: 300,
    onIdleError: (error) => log.debug({ reason: errorMessage(error) }, 'an idle connection was lost'),
  });
}

/** How often the state database is asked whether it is still the same one, in milliseconds. */
const askEvery = 5000;

const stillThere = `SELECT to_regclass('dumper.publication') IS NOT NULL AND to_regclass('dumper_queue.job') IS NOT NULL AS there`;

/** Resolves when the tables are gone; a database that cannot be asked is merely down. Rejects when the signal aborts. */
async function untilStateIsLost(publishing: Publishing | null, signal: AbortSignal): Promise<void> {
  for (;;) {
    await delay(askEvery, undefined, { signal });
    const there = await publishing?.state.pool.query<{ there: boolean }>(stillThere).then(
      ({ rows }) => rows[0]?.there !== false,
      () => true,
    );
    if (there === false) return;
  }
}

function aborted(signal: AbortSignal): Promise<never> {
  const { promise, reject } = Promise.withResolvers<never>();
  const onAbort = (): void => reject(new DumperError('ABORTED', 'stopping'));
  if (signal.aborted) onAbort();
  else signal.addEventListener('abort', onAbort, { once: true });
  return promise;
}
