/**
 * Progress of `publish` and `verify`: a few live lines in a terminal, one plain line a table in a pipe, one JSON
 * object an event for machines. All three are fed by the same stream of events.
 */
import type { ExitCode, Output } from './program.ts';

/** What a publication tells while it runs; `rows` and `bytes` only grow. */
export interface Progress {
  /** Resource id. */
  readonly table: string;
  readonly state: 'building' | 'published' | 'unchanged' | 'absent' | 'failed';
  /** Rows read so far. */
  readonly rows: number;
  /** Bytes written so far, all blobs together. */
  readonly bytes: number;
  /** Rows that Postgres expects, where known: gives the time left. */
  readonly expectedRows?: number;
  /** One line why it failed. */
  readonly reason?: string;
}

/** Show events until the stream ends; 1 when any table failed. `total`: tables in all, where known. */
export type ShowProgress = (
  events: AsyncIterable<Progress>,
  output: Output,
  options?: { readonly total?: number; readonly now?: () => number },
) => Promise<ExitCode>;
