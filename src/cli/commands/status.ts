/** `status`: every table, or one, against its published dump: a table for people, or one JSON object a line. */
import type { ExitCode, Output, Run } from '../program.ts';
import type { CkanProfile } from '../../ckan/profile.ts';
import { DumperError } from '../../errors.ts';
import { mapPostgresErrors } from '../../postgres/pool.ts';
import { allTables, lookUpTable, revisionToken, type TableState } from '../../postgres/revision.ts';
import { publicationState } from '../../state/publication-state.ts';
import type { PublicationRecord } from '../../state/publications.ts';
import { bytesText, countText, durationText } from '../../units.ts';
import type { Publishing } from '../../app/publishing.ts';

export async function statusCommand(
  publishing: Publishing,
  name: string | undefined,
  run: Run,
): Promise<ExitCode> {
  const { readPool, profiles, now } = publishing.context;
  const profile = await profiles.known();
  const tables = await mapPostgresErrors('POSTGRES_UNAVAILABLE', async () => {
    if (name === undefined) return [...(await allTables(readPool)).values()];
    const state = await lookUpTable(readPool, name);
    if (state === null) throw new DumperError('NOT_FOUND', `no DataStore table or alias is called ${name}`);
    return [state];
  });
  const records = await mapPostgresErrors('STATE_UNAVAILABLE', () => publishing.state.publications.all());
  const rows = tables.map((table) => statusRow(table, records.get(table.id) ?? null, profile));
  showStatus(
    rows.toSorted((one, other) => (one.id < other.id ? -1 : 1)),
    run.output,
    now(),
  );
  return 0;
}

function statusRow(table: TableState, record: PublicationRecord | null, profile: CkanProfile): StatusRow {
  const fresh = record?.token === revisionToken(table, profile);
  const state = publicationState(record, fresh);
  return {
    id: table.id,
    state,
    tier: table.tier,
    rows: record?.rows ?? null,
    bytes: record?.blobBytes ?? null,
    publishedAt: record?.publishedAt ?? null,
    note: state === 'failed' ? (record?.lastError ?? null) : null,
  };
}

/** One table's line of `status`. */
interface StatusRow {
  readonly id: string;
  readonly state: string;
  readonly tier: string | null;
  readonly rows: number | null;
  /** All blobs together. */
  readonly bytes: number | null;
  readonly publishedAt: Date | null;
  /** Why it failed. */
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
