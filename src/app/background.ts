/**
 * What comes up later than the routes: state database, queue, workers and schedule, each as soon as it can be had
 * (promise P21). When the state database turns out to have been made anew, all of it starts again on the new one:
 * nothing that is served rests on it, and everything in it is learned again (promise P5).
 */
import { setTimeout as delay } from 'node:timers/promises';
import type { Change } from '../change/change.ts';
import { DumperError, reasonOf } from '../errors.ts';
import { untilDone } from '../async/retry.ts';
import { startFirstAct, type FirstActParts } from './first-act.ts';
import type { OpenPermission } from './permission.ts';
import { openPublishing, type Publishing, type PublishingOptions } from './publishing.ts';
import type { World } from './context.ts';

/** Null until it is there. */
export interface Late {
  publishing: Publishing | null;
  change: Change | null;
  /** Why not, as of the last attempt. */
  fault: string;
}

export interface LateOptions extends FirstActParts {
  readonly onStep?: PublishingOptions['onStep'];
  readonly signal: AbortSignal;
}

/** Publish until the signal aborts; resolves then, with what is up left for the caller to stop. Never rejects. */
export async function keepPublishing(
  world: World,
  permission: OpenPermission,
  late: Late,
  options: LateOptions,
): Promise<void> {
  const { config, log } = world;
  if (config.DUMPER_STATE_URL === undefined || world.store === null) return;
  try {
    for (;;) {
      const publishing = await start(world, permission, late, options);
      await untilLost(publishing, options.signal);
      log.error('the state database was made anew; starting again on it');
      late.fault = 'it was made anew; starting again';
      await letGo(late);
    }
  } catch (error) {
    if (!options.signal.aborted) log.error({ reason: reasonOf(error) }, 'publishing did not start');
  }
}

async function start(
  world: World,
  permission: OpenPermission,
  late: Late,
  options: LateOptions,
): Promise<Publishing> {
  const { log, profiles } = world;
  const { signal } = options;
  const publishing = await untilDone(() => openPublishing(world, { permission, ...options }), {
    what: 'the state database',
    log,
    signal,
    onFault: (reason) => {
      late.fault = reason;
    },
  });
  late.publishing = publishing;
  await Promise.race([profiles.known(), aborted(signal)]);
  const change = await untilDone(() => startFirstAct(world, publishing, options), {
    what: 'the queue',
    log,
    signal,
  });
  late.change = change;
  world.metrics.sources.queueDepth = () => change.depth();
  return publishing;
}

/** How often the state database is asked whether it is still the one it was, in milliseconds. */
const lookEvery = 5000;

const stillThere = `SELECT to_regclass('dumper.publication') IS NOT NULL AND to_regclass('dumper_queue.job') IS NOT NULL AS there`;

/** Resolves when the tables are gone; a database that cannot be asked is merely down. Rejects when the signal aborts. */
async function untilLost({ state }: Publishing, signal: AbortSignal): Promise<void> {
  for (;;) {
    await delay(lookEvery, undefined, { signal });
    const there = await state.pool.query<{ there: boolean }>(stillThere).then(
      ({ rows }) => rows[0]?.there !== false,
      () => true,
    );
    if (!there) return;
  }
}

/** Running publications are given up: their fences are gone. */
async function letGo(late: Late): Promise<void> {
  const { change, publishing } = late;
  late.change = null;
  late.publishing = null;
  await change?.stop(0).catch(() => undefined);
  await publishing?.close();
}

function aborted(signal: AbortSignal): Promise<never> {
  const { promise, reject } = Promise.withResolvers<never>();
  const onAbort = (): void => reject(new DumperError('ABORTED', 'stopping'));
  if (signal.aborted) onAbort();
  else signal.addEventListener('abort', onAbort, { once: true });
  return promise;
}
