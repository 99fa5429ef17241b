/** `publish`: tables now, in the foreground, a bounded number at once, with progress. */
import { setTimeout as delay } from 'node:timers/promises';
import type { ExitCode, PublishCommandOptions, Run } from '../program.ts';
import { showProgress, type Progress } from '../progress.ts';
import type { Publishing } from '../../app/publishing.ts';
import { createEventQueue, type EventQueue } from '../../async/event-queue.ts';
import { mapLimit } from '../../async/map-limit.ts';
import { DumperError, isDumperError, errorMessage } from '../../errors.ts';
import { blobBytesOf } from '../../manifest.ts';
import { mapPostgresErrors } from '../../postgres/pool.ts';
import { allTables, lookUpTable } from '../../postgres/revision.ts';
import type { ResourceId } from '../../postgres/table.ts';
import { publishAndRecord, type Publisher } from '../../publish/publisher.ts';

/** Least pause between two progress events of a table, in milliseconds. */
const progressPause = 100;

/** A table to publish. */
interface TableToPublish {
  readonly id: ResourceId;
  readonly bytes: number;
  /** Publish this one even if nothing changed. */
  readonly force?: boolean;
}

interface PublishTablesOptions {
  readonly force: boolean;
  /** A table that is not there: an error where somebody named it, expected where a sweep found it gone. */
  readonly whenGone: 'error' | 'expected';
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
  return publishTables(publishing, tables, { ...options, force: true, whenGone: 'error' }, run);
}

async function findTable({ context }: Publishing, name: string): Promise<TableToPublish> {
  const state = await lookUpTable(context.readPool, name);
  if (state === null) throw new DumperError('NOT_FOUND', `no DataStore table or alias is called ${name}`);
  return state;
}

export async function publishTables(
  publishing: Publishing,
  tables: readonly TableToPublish[],
  options: PublishTablesOptions,
  run: Run,
): Promise<ExitCode> {
  const events = createEventQueue<Progress>();
  const slots = options.concurrency ?? publishing.context.config.DUMPER_PUBLISH_SLOTS;
  const nextTurn = createRateLimit(options.tablesPerMinute, run.signal);
  // Small tables come first, so that results show soon and no large one holds up many.
  const bySize = tables.toSorted((one, other) => one.bytes - other.bytes);
  const working = mapLimit(bySize, slots, async ({ id, force = false }) => {
    if (run.signal.aborted) return;
    await nextTurn();
    const parts = { ...options, force: options.force || force, events, signal: run.signal };
    await publishOne(publishing.publisher, id, parts);
  }).finally(() => events.end());
  const [exitCode] = await Promise.all([showProgress(events, run.output, { total: tables.length }), working]);
  return run.signal.aborted ? 1 : exitCode;
}

interface PublishOneOptions extends PublishTablesOptions {
  readonly events: EventQueue<Progress>;
  readonly signal: AbortSignal;
}

async function publishOne(
  publisher: Publisher,
  id: ResourceId,
  { events, signal, force, whenGone }: PublishOneOptions,
): Promise<void> {
  let last = { rows: 0, bytes: 0 };
  let shownAt = 0;
  const onProgress = (rows: number, bytes: number): void => {
    last = { rows, bytes };
    if (performance.now() - shownAt < progressPause) return;
    shownAt = performance.now();
    events.push({ table: id, state: 'building', ...last });
  };
  const end = (state: Progress['state'], reason?: string): void =>
    events.push({ table: id, state, ...last, ...(reason === undefined ? {} : { reason }) });
  try {
    const outcome = await publishAndRecord(publisher, id, { force, signal, onProgress });
    if (outcome.kind === 'published' || outcome.kind === 'unchanged') {
      last = { rows: outcome.manifest.rows, bytes: blobBytesOf(outcome.manifest) };
      end(outcome.kind);
    } else if (outcome.kind === 'superseded') end('failed', 'another worker took it over');
    else if (whenGone === 'error') end('absent', 'the table is gone');
    else end('unchanged', 'the table is gone; its dumps are deleted');
  } catch (error) {
    // A fault that would meet every table ends the command.
    if (isDumperError(error, 'CONFIGURATION')) throw error;
    end('failed', errorMessage(error));
  }
}

/** Resolves at most `perMinute` times a minute, evenly; without a limit at once. */
function createRateLimit(perMinute: number | undefined, signal: AbortSignal): () => Promise<void> {
  if (perMinute === undefined) return () => Promise.resolve();
  let next = performance.now();
  return async () => {
    const wait = next - performance.now();
    next = Math.max(next, performance.now()) + 60_000 / perMinute;
    if (wait > 0) await delay(wait, undefined, { signal }).catch(() => undefined);
  };
}
