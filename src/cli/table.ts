/** `status` as a table: plain columns in a pipe, cut to the width of a terminal; one JSON object a line on request. */
import { bytesText, countText, durationText } from '../units.ts';
import type { Output } from './program.ts';

/** One table's line of `status`. */
export interface StatusRow {
  readonly id: string;
  readonly state: string;
  readonly tier: string | null;
  readonly rows: number | null;
  /** All blobs together. */
  readonly bytes: number | null;
  readonly publishedAt: Date | null;
  /** Why it failed, or what is under way. */
  readonly note: string | null;
}

const headings = ['STATE', 'TABLE', 'ROWS', 'SIZE', 'AGE', 'TIER', 'NOTE'] as const;

export function showStatus(rows: readonly StatusRow[], output: Output, now: Date): void {
  if (output.json) {
    for (const row of rows) output.line(JSON.stringify(row));
    return;
  }
  const cells = [headings, ...rows.map((row) => cellsOf(row, now))];
  const widths = headings.map((_, column) => Math.max(...cells.map((line) => (line[column] ?? '').length)));
  for (const line of cells) {
    const text = line
      .map((cell, column) => cell.padEnd(widths[column] ?? 0))
      .join('  ')
      .trimEnd();
    output.line(output.terminal ? text.slice(0, output.columns) : text);
  }
}

function cellsOf(row: StatusRow, now: Date): string[] {
  return [
    row.state,
    row.id,
    row.rows === null ? '' : countText(row.rows),
    row.bytes === null ? '' : bytesText(row.bytes),
    row.publishedAt === null ? '' : durationText((now.getTime() - row.publishedAt.getTime()) / 1000),
    row.tier ?? '',
    row.note ?? '',
  ];
}
