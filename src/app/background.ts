/**
 * What comes up later than the routes: state database, queue, workers and schedule, each as soon as it can be had
 * (promise P21). When the state database turns out to have been made anew, all of it starts again on the new one:
 * nothing that is served rests on it, and everything in it is learned again (promise P5).
 */
import { setTimeout as delay } from 'node:timers/promises';
import type { Change } from '../change/change.ts';
import { DumperError, errorMessage } from '../errors.ts';
import { retry } from '../async/retry.ts';
import { startElectedChange, type ChangeParts } from './first-act.ts';
import type { AppPermission } from './permission.ts';
import { openPublishing, type Publishing, type PublishingOptions } from './publishing.ts';
import type { AppContext } from './context.ts';

/** Null until it is there. */
export interface Background {
  publishing: Publishing | null;
  change: Change | null;
  /** Why not, as of the last attempt. */
  fault: string;
}

export interface BackgroundOptions extends ChangeParts {
  readonly onStep?: PublishingOptions['onStep'];
  readonly signal: AbortSignal;
}

/** Publish until the signal aborts; resolves then, with what is up left for the caller to stop. Never rejects. */
export async function runBackground(
  context: AppContext,
  permission: AppPermission,
  late: Background,
  options: BackgroundOptions,
): Promise<void> {
  const { config, log } = context;
  if (config.DUMPER_STATE_URL === undefined || context.store === null) return;
  try {
    for (;;) {
      const publishing = await start(context, permission, late, options);
      await untilLost(publishing, options.signal);
      log.error('the state database was made anew; starting again on it');
      late.fault = 'it was made anew; starting again';
      await letGo(late);
    }
  } catch (error) {
    if (!options.signal.aborted) log.error({ reason: errorMessage(error) }, 'publishing did not start');
  }
}

async function start(
  context: AppContext,
  permission: AppPermission,
  late: Background,
  options: BackgroundOptions,
): Promise<Publishing> {
  const { log, profiles } = context;
  const { signal } = options;
  const publishing = await retry(() => openPublishing(context, { permission, ...options }), {
    what: 'the state database',
    log,
    signal,
    onFault: (reason) => {
      late.fault = reason;
    },
  });
  late.publishing = publishing;
  await Promise.race([profiles.known(), aborted(signal)]);
  const change = await retry(() => startElectedChange(context, publishing, options), {
    what: 'the queue',
    log,
    signal,
  });
  late.change = change;
  context.metrics.sources.queueDepth = () => change.depth();
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
async function letGo(late: Background): Promise<void> {
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
