/**
 * The running service: routes at once, workers and schedule as soon as their neighbours answer, and an orderly end.
 *
 * A state database or CKAN that is down at start is waited for in the background; the routes that do not need it
 * answer meanwhile (promise P21). `stop` takes nothing new, gives answers and publications their grace, and closes
 * everything (promise P20).
 */
import { readFile } from 'node:fs/promises';
import type pg from 'pg';
import type { Change } from '../change/change.ts';
import type { Config } from '../config/config.ts';
import { DumperError, errorMessage } from '../errors.ts';
import { createLog, standardError, type Log } from '../log.ts';
import { createPool } from '../postgres/pool.ts';
import { createStabilityTracker } from '../postgres/revision.ts';
import { createApp } from '../serve/app.ts';
import { createManifestCache, nothingPublished } from '../serve/manifest-cache.ts';
import { createResourceNames, noResourceNames } from '../serve/resource-name.ts';
import { createSemaphore } from '../async/semaphore.ts';
import type { ServeDeps } from '../serve/context.ts';
import type { ResourceId } from '../postgres/table.ts';
import { openTraces } from '../traces.ts';
import { readinessChecks } from './readiness.ts';
import { listenHttp } from './http-server.ts';
import { runBackground, type Background } from './background.ts';
import { openPermission, type AppPermission } from './permission.ts';
import type { Publishing, PublishingOptions } from './publishing.ts';
import { openContext, type AppContext } from './context.ts';

export interface Service {
  readonly port: number;
  stop(): Promise<void>;
}

export interface ServiceOptions {
  readonly log?: Log;
  /** Called at each named step of a publication. */
  readonly onStep?: PublishingOptions['onStep'];
  /** A process with other settings that is silent for this long has left; 60 unless given. */
  readonly silentSeconds?: number;
}

/** Start from settings; resolves when the port listens. Rejects only for settings that cannot work. */
export async function startService(
  environment: Readonly<Record<string, string | undefined>>,
  config: Config,
  options: ServiceOptions = {},
): Promise<Service> {
  const log = options.log ?? createLog(config.DUMPER_LOG_LEVEL, standardError());
  const context = openContext({ config, log, environment, traces: await openTraces(environment, log) });
  const permission = await openPermission(context);
  const stopping = new AbortController();
  const ending = new AbortController();
  const stability = createStabilityTracker();
  const late: Background = { publishing: null, change: null, fault: 'not connected yet' };
  const served = await openServeDeps(context, permission, late, stability, ending.signal);
  permission.onVisibility((id, anyone) => {
    if (!anyone) served.manifests.forget(id);
    void late.change?.onVisibility(id, anyone);
  });
  const listening = await listenHttp(createApp(served), {
    host: config.DUMPER_HOST,
    port: config.DUMPER_PORT,
  }).catch(async (error: unknown) => {
    await Promise.all([permission.close(), context.close()]);
    throw error;
  });
  const writePool = openWritePool(config, log);
  const publishing = runBackground(context, permission, late, {
    stability,
    writePool,
    signal: stopping.signal,
    ...options,
  });
  log.info({ port: listening.port, role: config.DUMPER_ROLE }, 'listening');
  const stop = async (): Promise<void> => {
    log.info({ graceSeconds: config.DUMPER_DRAIN_SECONDS }, 'draining');
    stopping.abort();
    const grace = config.DUMPER_DRAIN_SECONDS;
    await Promise.all([
      listening.drain(grace, () => ending.abort()),
      publishing.then(() => late.change?.stop(grace)),
    ]);
    await late.publishing?.close();
    await Promise.all([permission.close(), writePool?.end(), context.close()]);
    log.info('stopped');
  };
  return { port: listening.port, stop };
}

function openWritePool(config: Config, log: Log): pg.Pool | null {
  if (config.CKAN_DATASTORE_WRITE_URL === undefined) return null;
  return createPool({
    url: config.CKAN_DATASTORE_WRITE_URL,
    applicationName: 'datastore-dumper triggers',
    size: 1,
    // folding a journal that was left alone for long takes its time
    queryTimeoutSeconds: 300,
    onIdleError: (error) => log.debug({ reason: errorMessage(error) }, 'an idle connection was lost'),
  });
}

async function openServeDeps(
  context: AppContext,
  permission: AppPermission,
  late: Background,
  stability: ReturnType<typeof createStabilityTracker>,
  ending: AbortSignal,
): Promise<ServeDeps> {
  const { config, store, metrics, log, now } = context;
  const changeOrBusy = (): Change => {
    if (late.change !== null) return late.change;
    throw new DumperError('STATE_UNAVAILABLE', 'the queue cannot be reached yet');
  };
  const recordsOrBusy = (): Publishing['state']['publications'] => {
    if (late.publishing !== null) return late.publishing.state.publications;
    throw new DumperError('STATE_UNAVAILABLE', 'the state database cannot be reached yet');
  };
  const publishes = config.DUMPER_STATE_URL !== undefined && store !== null;
  metrics.liveSlots.set(config.DUMPER_LIVE_SLOTS);
  return {
    config,
    profile: () => context.profiles.current(),
    readPool: context.readPool,
    livePool: context.livePool,
    slots: createSemaphore(config.DUMPER_LIVE_SLOTS, { onChange: (busy) => metrics.liveSlotsBusy.set(busy) }),
    store,
    manifests:
      store === null
        ? nothingPublished
        : createManifestCache({
            store,
            stability,
            marginSeconds: config.DUMPER_COUNTER_MARGIN_SECONDS,
            retireMarginSeconds: config.DUMPER_RETIRE_MARGIN_SECONDS,
            now,
            log,
            onRead: (from) => metrics.manifestReads.inc({ from }),
          }),
    blobSecret: context.blobSecret,
    permission: permission.permission,
    resourceNames: context.ckan === null ? noResourceNames : createResourceNames(context.ckan, Date.now),
    publications: publishes
      ? { get: async (id) => recordsOrBusy().get(id), all: async () => recordsOrBusy().all() }
      : null,
    enqueueStale: hintRarely((id) => late.change?.enqueueStale(id), log),
    rebuild: publishes ? async (id) => changeOrBusy().rebuild([id]) : null,
    receiveWebhook:
      config.DUMPER_NOTICE_SECRET === undefined || !publishes
        ? null
        : (headers, body) => takeNotice(changeOrBusy(), headers, body),
    checks: readinessChecks(context, () => late.publishing ?? late.fault, permission.permission.how),
    openapi: await readOpenapi(),
    metrics,
    traces: context.traces,
    log,
    now,
    ending,
  };
}

/** Least pause between two hints about the same table, in milliseconds: requests come by the hundred. */
const hintPause = 1000;
const hintsRemembered = 10_000;

function hintRarely(look: (id: ResourceId) => Promise<void> | undefined, log: Log): (id: ResourceId) => void {
  const hintedAt = new Map<string, number>();
  return (id) => {
    const now = performance.now();
    if (now - (hintedAt.get(id) ?? -Infinity) < hintPause) return;
    if (hintedAt.size >= hintsRemembered) hintedAt.clear();
    hintedAt.set(id, now);
    look(id)?.catch((error: unknown) => {
      log.debug({ table: id, reason: errorMessage(error) }, 'a hint was lost; the sweep finds it');
    });
  };
}

async function takeNotice(
  change: Change,
  headers: NodeJS.Dict<string | string[]>,
  body: Buffer,
): ReturnType<NonNullable<ServeDeps['receiveWebhook']>> {
  const notice = await change.receiveWebhook({
    timestamp: headers['x-dumper-timestamp'],
    signature: headers['x-dumper-signature'],
    body,
  });
  if (notice.kind === 'refused') return notice;
  return { kind: 'queued', tables: notice.kind === 'accepted' ? notice.names.length : 0 };
}

async function readOpenapi(): Promise<string | null> {
  return readFile(new URL('../../openapi.yaml', import.meta.url), 'utf8').catch(() => null);
}
