/** `publish`: tables now, in the foreground, a bounded number at once, with progress. */
import { DumperError, isDumperError, errorMessage } from '../../errors.ts';
import type { ExitCode, PublishCommandOptions, Run } from '../program.ts';
import { showProgress, type Progress } from '../progress.ts';
import type { Manifest } from '../../manifest.ts';
import { createEventQueue, type EventQueue } from '../../async/event-queue.ts';
import { mapPostgresErrors } from '../../postgres/pool.ts';
import { allTables, lookUpTable } from '../../postgres/revision.ts';
import type { ResourceId } from '../../postgres/table.ts';
import type { Publishing } from '../../app/publishing.ts';

/** Least pause between two progress events of a table, in milliseconds. */
const progressPause = 100;

/** A table in line; small ones come first, so that results show soon and no large one holds up many. */
export interface TableInLine {
  readonly id: ResourceId;
  readonly bytes: number;
  /** Publish this one even if nothing changed. */
  readonly force?: boolean;
}

export interface PublishTablesOptions {
  readonly force: boolean;
  /** What it means when a table is not there: a mistake of who named it, or just what was to be found out. */
  readonly whenGone: 'absent' | 'withdrawn';
  readonly concurrency?: number | undefined;
  readonly tablesPerMinute?: number | undefined;
}

export async function publishCommand(
  publishing: Publishing,
  options: PublishCommandOptions,
  run: Run,
): Promise<ExitCode> {
  const { readPool } = publishing.context;
  const tables = await mapPostgresErrors('POSTGRES_UNAVAILABLE', async () =>
    options.all
      ? [...(await allTables(readPool)).values()]
      : Promise.all(options.ids.map((name) => findTable(publishing, name))),
  );
  return publishTables(publishing, tables, { ...options, force: true, whenGone: 'absent' }, run);
}

async function findTable({ context }: Publishing, name: string): Promise<TableInLine> {
  const state = await lookUpTable(context.readPool, name);
  if (state === null) throw new DumperError('NOT_FOUND', `no DataStore table or alias is called ${name}`);
  return state;
}

export async function publishTables(
  publishing: Publishing,
  tables: readonly TableInLine[],
  options: PublishTablesOptions,
  run: Run,
): Promise<ExitCode> {
  const events = createEventQueue<Progress>();
  const line = tables.toSorted((one, other) => one.bytes - other.bytes);
  const workers = Math.min(
    options.concurrency ?? publishing.context.config.DUMPER_PUBLISH_SLOTS,
    line.length,
  );
  const pace = createPace(options.tablesPerMinute, run.signal);
  const working = Promise.all(
    Array.from({ length: workers }, async () => {
      for (let next = line.shift(); next !== undefined && !run.signal.aborted; next = line.shift()) {
        await pace();
        const force = options.force || next.force === true;
        await publishOne(publishing, next.id, { ...options, force, events, signal: run.signal });
      }
    }),
  ).finally(() => events.end());
  const [exitCode] = await Promise.all([showProgress(events, run.output, { total: tables.length }), working]);
  return run.signal.aborted ? 1 : exitCode;
}

interface PublishOneOptions extends PublishTablesOptions {
  readonly events: EventQueue<Progress>;
  readonly signal: AbortSignal;
}

async function publishOne(
  publishing: Publishing,
  id: ResourceId,
  { events, signal, force, whenGone }: PublishOneOptions,
): Promise<void> {
  let last = { rows: 0, bytes: 0 };
  let toldAt = 0;
  const onProgress = (rows: number, bytes: number): void => {
    last = { rows, bytes };
    if (performance.now() - toldAt < progressPause) return;
    toldAt = performance.now();
    events.push({ table: id, state: 'building', ...last });
  };
  const end = (state: Progress['state'], reason?: string): void =>
    events.push({ table: id, state, ...last, ...(reason === undefined ? {} : { reason }) });
  try {
    const outcome = await publishing.publishNow(id, { force, signal, onProgress });
    if (outcome.kind === 'published' || outcome.kind === 'unchanged') {
      last = sizeOf(outcome.manifest);
      end(outcome.kind);
    } else if (outcome.kind === 'superseded') end('failed', 'another worker took it over');
    else if (whenGone === 'absent') end('absent', 'the table is gone');
    else end('unchanged', 'the table is gone; its dumps are withdrawn');
  } catch (error) {
    // A fault of this table; one that would meet every table ends the command.
    if (isDumperError(error, 'CONFIGURATION')) throw error;
    end('failed', errorMessage(error));
  }
}

function sizeOf({ rows, blobs }: Manifest): { rows: number; bytes: number } {
  return { rows, bytes: Object.values(blobs).reduce((sum, { bytes }) => sum + bytes, 0) };
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
