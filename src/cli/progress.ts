/**
 * Progress of `publish`, `sweep` and `verify`: a few live lines in a terminal, one plain line a table in a pipe, one JSON
 * object an event for machines. All three read the same stream of events.
 */
import { Listr } from 'listr2';
import { bytesText, countText, durationText } from '../units.ts';
import type { ExitCode, Output } from './program.ts';

/** How far one table is; `rows` and `bytes` only grow. */
export interface Progress {
  /** Resource id. */
  readonly table: string;
  readonly state: 'building' | 'published' | 'unchanged' | 'verified' | 'absent' | 'failed';
  /** Rows read so far. */
  readonly rows: number;
  /** Bytes written so far, all blobs together. */
  readonly bytes: number;
  /** One line why it failed. */
  readonly reason?: string;
}

interface ProgressOptions {
  /** Tables in all, where known. */
  readonly total?: number;
  /** Milliseconds, any origin. */
  readonly now?: () => number;
}

interface Tally {
  readonly startedAt: number;
  readonly building: Map<string, Progress & { readonly since: number }>;
  readonly ended: Record<Exclude<Progress['state'], 'building'>, number>;
  bytes: number;
}

/** Show events until the stream ends; 1 when any table failed or was not there. */
export async function showProgress(
  events: AsyncIterable<Progress>,
  output: Output,
  { total, now = Date.now }: ProgressOptions = {},
): Promise<ExitCode> {
  const tally: Tally = {
    startedAt: now(),
    building: new Map(),
    ended: { published: 0, unchanged: 0, verified: 0, absent: 0, failed: 0 },
    bytes: 0,
  };
  if (output.json) await showAsJson(events, output, tally, now);
  else if (output.terminal) await showInTerminal(events, output, tally, total, now);
  else await showAsLines(events, output, tally, now);
  return tally.ended.failed + tally.ended.absent > 0 ? 1 : 0;
}

function count(tally: Tally, event: Progress, now: number): void {
  if (event.state === 'building') {
    tally.building.set(event.table, { ...event, since: tally.building.get(event.table)?.since ?? now });
    return;
  }
  tally.building.delete(event.table);
  tally.ended[event.state] += 1;
  tally.bytes += event.bytes;
}

async function showAsJson(
  events: AsyncIterable<Progress>,
  output: Output,
  tally: Tally,
  now: () => number,
): Promise<void> {
  for await (const event of events) {
    count(tally, event, now());
    output.line(JSON.stringify(event));
  }
}

async function showAsLines(
  events: AsyncIterable<Progress>,
  output: Output,
  tally: Tally,
  now: () => number,
): Promise<void> {
  for await (const event of events) {
    count(tally, event, now());
    if (event.state !== 'building') output.line(endedLine(event));
  }
  output.line(summaryLine(tally, undefined, now()));
}

/** One task whose title is redrawn: the sum on the first line, what is being built below it. */
async function showInTerminal(
  events: AsyncIterable<Progress>,
  output: Output,
  tally: Tally,
  total: number | undefined,
  now: () => number,
): Promise<void> {
  const failures: string[] = [];
  const list = new Listr(
    [
      {
        title: 'Starting',
        task: async (_context, task): Promise<void> => {
          for await (const event of events) {
            count(tally, event, now());
            if (event.state === 'failed' || event.state === 'absent') failures.push(endedLine(event));
            task.title = [summaryLine(tally, total, now()), ...buildingLines(tally, now())].join('\n');
          }
          task.title = summaryLine(tally, total, now());
        },
      },
    ],
    { registerSignalListeners: false, rendererOptions: { formatOutput: 'truncate' } },
  );
  await list.run();
  for (const line of failures) output.line(line);
}

function endedLine({ table, state, rows, bytes, reason }: Progress): string {
  const size =
    state === 'failed' || state === 'absent' ? '' : `  ${countText(rows)} rows  ${bytesText(bytes)}`;
  return `${state.padEnd(9)}  ${table}${size}${reason === undefined ? '' : `  ${reason}`}`;
}

function summaryLine(tally: Tally, total: number | undefined, now: number): string {
  const done = Object.values(tally.ended).reduce((sum, value) => sum + value, 0);
  const seconds = Math.max(0.001, (now - tally.startedAt) / 1000);
  const building = [...tally.building.values()].reduce((sum, { bytes }) => sum + bytes, 0);
  const bytes = tally.bytes + building;
  const parts = [
    total === undefined
      ? `${countText(done)} ${done === 1 ? 'table' : 'tables'}`
      : `${countText(done)} of ${countText(total)} tables`,
    bytesText(bytes),
    `${bytesText(bytes / seconds)}/s`,
    durationText(seconds),
  ];
  if (total !== undefined && done > 0 && done < total)
    parts.push(`${durationText((seconds / done) * (total - done))} left`);
  if (tally.ended.failed > 0) parts.push(`${countText(tally.ended.failed)} failed`);
  return parts.join(', ');
}

function buildingLines(tally: Tally, now: number): string[] {
  return [...tally.building.values()].slice(0, 8).map(({ table, rows, bytes, since }) => {
    const seconds = Math.max(0.001, (now - since) / 1000);
    return `  ${table}  ${countText(rows)} rows, ${bytesText(bytes)}, ${bytesText(bytes / seconds)}/s`;
  });
}
