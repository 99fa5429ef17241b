/** `publish`: tables now, in the foreground, a bounded number at once, with progress. */
import { DumperError, isDumperError, reasonOf } from '../errors.ts';
import type { ExitCode, PublishOptions, Run } from '../cli/program.ts';
import { showProgress, type Progress } from '../cli/progress.ts';
import { eventQueue, type EventQueue } from '../event-queue.ts';
import { asking } from '../postgres.ts';
import { allTables, lookUp, type TableState } from '../revision.ts';
import type { ResourceId } from '../table.ts';
import type { Publishing } from '../assembly/publishing.ts';

/** Least pause between two progress events of a table, in milliseconds. */
const progressPause = 100;

export async function publishCommand(
  publishing: Publishing,
  options: PublishOptions,
  run: Run,
): Promise<ExitCode> {
  const { readPool, config } = publishing.world;
  const events = eventQueue<Progress>();
  const tables = await asking('POSTGRES_UNAVAILABLE', async () =>
    options.all
      ? [...(await allTables(readPool)).values()]
      : Promise.all(options.ids.map((name) => find(name))),
  );

  async function find(name: string): Promise<TableState> {
    const state = await lookUp(readPool, name);
    if (state === null) throw new DumperError('NOT_FOUND', `no DataStore table or alias is called ${name}`);
    return state;
  }

  // The largest first would hold up the many small ones; the smallest first shows results soonest.
  const queue = tables.toSorted((one, other) => one.bytes - other.bytes);
  const workers = Math.min(options.concurrency ?? config.DUMPER_PUBLISH_SLOTS, queue.length);
  const pace = createPace(options.tablesPerMinute, run.signal);
  const working = Promise.all(
    Array.from({ length: workers }, async () => {
      for (let state = queue.shift(); state !== undefined && !run.signal.aborted; state = queue.shift()) {
        await pace();
        await publishOne(publishing, state.id, events, run.signal);
      }
    }),
  ).finally(() => events.end());
  const [exitCode] = await Promise.all([showProgress(events, run.output, { total: tables.length }), working]);
  return run.signal.aborted ? 1 : exitCode;
}

async function publishOne(
  publishing: Publishing,
  id: ResourceId,
  events: EventQueue<Progress>,
  signal: AbortSignal,
): Promise<void> {
  let last = { rows: 0, bytes: 0 };
  let toldAt = 0;
  const onProgress = (rows: number, bytes: number): void => {
    last = { rows, bytes };
    if (performance.now() - toldAt < progressPause) return;
    toldAt = performance.now();
    events.push({ table: id, state: 'building', ...last });
  };
  try {
    const outcome = await publishing.publish(id, { force: true, signal, onProgress });
    if (outcome.kind === 'published' || outcome.kind === 'unchanged') {
      events.push({ table: id, state: outcome.kind, ...last, rows: outcome.manifest.rows });
    } else if (outcome.kind === 'gone')
      events.push({ table: id, state: 'absent', ...last, reason: 'the table is gone' });
    else events.push({ table: id, state: 'failed', ...last, reason: 'another worker took it over' });
  } catch (error) {
    // A fault of this table; one that would meet every table ends the command.
    if (isDumperError(error, 'CONFIGURATION')) throw error;
    events.push({ table: id, state: 'failed', ...last, reason: reasonOf(error) });
  }
}

/** Begins at most `perMinute` turns a minute, evenly; without a limit at once. */
function createPace(perMinute: number | undefined, signal: AbortSignal): () => Promise<void> {
  if (perMinute === undefined) return () => Promise.resolve();
  let next = performance.now();
  return async () => {
    const wait = next - performance.now();
    next = Math.max(next, performance.now()) + 60_000 / perMinute;
    if (wait > 0) await pause(wait, signal);
  };
}

async function pause(milliseconds: number, signal: AbortSignal): Promise<void> {
  const { promise, resolve } = Promise.withResolvers<void>();
  const timer = setTimeout(resolve, milliseconds);
  signal.addEventListener('abort', () => resolve(), { once: true });
  await promise.finally(() => clearTimeout(timer));
}
