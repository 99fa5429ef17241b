/** `status`: every table, or one, against its published dump, as a table or as JSON lines. */
import type { ExitCode, Run } from '../program.ts';
import { showStatus, type StatusRow } from '../table.ts';
import type { CkanProfile } from '../../ckan/profile.ts';
import { DumperError } from '../../errors.ts';
import { mapPostgresErrors } from '../../postgres/pool.ts';
import { allTables, lookUpTable, revisionToken, type TableState } from '../../postgres/revision.ts';
import { publicationState } from '../../state/publication-state.ts';
import type { PublicationRecord } from '../../state/publications.ts';
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
