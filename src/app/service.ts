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
import { DumperError, reasonOf } from '../errors.ts';
import { createLog, standardError, type Log } from '../log.ts';
import { createPool } from '../postgres/pool.ts';
import { createRestMemory } from '../postgres/revision.ts';
import { createService } from '../serve/app.ts';
import { createManifests, nothingPublished } from '../serve/manifest-cache.ts';
import { createResourceNames, nameless } from '../serve/resource-name.ts';
import { createSlots } from '../serve/slots.ts';
import type { ServeWorld } from '../serve/context.ts';
import type { ResourceId } from '../postgres/table.ts';
import { openTraces } from '../traces.ts';
import { readinessChecks } from './readiness.ts';
import { listen } from './http-server.ts';
import { keepPublishing, type Late } from './background.ts';
import { openPermission, type OpenPermission } from './permission.ts';
import type { Publishing, PublishingOptions } from './publishing.ts';
import { openWorld, type World } from './context.ts';

export interface Sidecar {
  readonly port: number;
  stop(): Promise<void>;
}

export interface SidecarOptions {
  readonly log?: Log;
  /** Called at each named step of a publication. */
  readonly onStep?: PublishingOptions['onStep'];
  /** A process with other settings that is silent for this long has left; 60 unless given. */
  readonly silentSeconds?: number;
}

/** Start from settings; resolves when the port listens. Rejects only for settings that cannot work. */
export async function startSidecar(
  environment: Readonly<Record<string, string | undefined>>,
  config: Config,
  options: SidecarOptions = {},
): Promise<Sidecar> {
  const log = options.log ?? createLog(config.DUMPER_LOG_LEVEL, standardError());
  const world = openWorld({ config, log, environment, traces: await openTraces(environment, log) });
  const permission = await openPermission(world);
  const stopping = new AbortController();
  const ending = new AbortController();
  const rest = createRestMemory();
  const late: Late = { publishing: null, change: null, fault: 'not connected yet' };
  const served = await serveWorld(world, permission, late, rest, ending.signal);
  permission.onReaders((id, anyone) => {
    if (!anyone) served.manifests.forget(id);
    void late.change?.readersHeard(id, anyone);
  });
  const listening = await listen(createService(served), {
    host: config.DUMPER_HOST,
    port: config.DUMPER_PORT,
  }).catch(async (error: unknown) => {
    await Promise.all([permission.close(), world.close()]);
    throw error;
  });
  const writePool = openWritePool(config, log);
  const publishing = keepPublishing(world, permission, late, {
    rest,
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
    await Promise.all([permission.close(), writePool?.end(), world.close()]);
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
    onIdleError: (error) => log.debug({ reason: reasonOf(error) }, 'an idle connection was lost'),
  });
}

async function serveWorld(
  world: World,
  permission: OpenPermission,
  late: Late,
  rest: ReturnType<typeof createRestMemory>,
  ending: AbortSignal,
): Promise<ServeWorld> {
  const { config, store, metrics, log, now } = world;
  const changeOrBusy = (): Change => {
    if (late.change !== null) return late.change;
    throw new DumperError('STATE_UNAVAILABLE', 'the queue cannot be reached yet');
  };
  const recordsOrBusy = (): Publishing['state']['records'] => {
    if (late.publishing !== null) return late.publishing.state.records;
    throw new DumperError('STATE_UNAVAILABLE', 'the state database cannot be reached yet');
  };
  const publishes = config.DUMPER_STATE_URL !== undefined && store !== null;
  metrics.liveSlots.set(config.DUMPER_LIVE_SLOTS);
  return {
    config,
    profile: () => world.profiles.current(),
    readPool: world.readPool,
    livePool: world.livePool,
    slots: createSlots(config.DUMPER_LIVE_SLOTS, { onChange: (busy) => metrics.liveSlotsBusy.set(busy) }),
    store,
    manifests:
      store === null
        ? nothingPublished
        : createManifests({
            store,
            rest,
            marginSeconds: config.DUMPER_COUNTER_MARGIN_SECONDS,
            retireMarginSeconds: config.DUMPER_RETIRE_MARGIN_SECONDS,
            now,
            log,
            onRead: (from) => metrics.manifestReads.inc({ from }),
          }),
    blobSecret: world.blobSecret,
    permission: permission.permission,
    resourceNames: world.ckan === null ? nameless : createResourceNames(world.ckan, Date.now),
    records: publishes
      ? { get: async (id) => recordsOrBusy().get(id), all: async () => recordsOrBusy().all() }
      : null,
    noticeStale: hintRarely((id) => late.change?.stale(id), log),
    rebuild: publishes ? async (id) => changeOrBusy().rebuild([id]) : null,
    takeNotice:
      config.DUMPER_NOTICE_SECRET === undefined || !publishes
        ? null
        : (headers, body) => takeNotice(changeOrBusy(), headers, body),
    checks: readinessChecks(world, () => late.publishing ?? late.fault, permission.permission.how),
    openapi: await readOpenapi(),
    metrics,
    traces: world.traces,
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
      log.debug({ table: id, reason: reasonOf(error) }, 'a hint was lost; the sweep finds it');
    });
  };
}

async function takeNotice(
  change: Change,
  headers: NodeJS.Dict<string | string[]>,
  body: Buffer,
): ReturnType<NonNullable<ServeWorld['takeNotice']>> {
  const notice = await change.notice({
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
