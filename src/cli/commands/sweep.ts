/** `sweep`: compare every table with its manifest once, here and now; publish what changed, delete what is gone. */
import type { ExitCode, Run } from '../program.ts';
import type { Publishing } from '../../app/publishing.ts';
import { sweep, sweepSettings } from '../../change/sweep.ts';
import { createVisibilityWatcher } from '../../change/visibility.ts';
import { createStabilityTracker } from '../../postgres/revision.ts';
import type { TableChange } from '../../state/publications.ts';
import { publishTables } from './publish.ts';

export async function sweepCommand(publishing: Publishing, run: Run): Promise<ExitCode> {
  const { store, rights } = publishing;
  const { publications } = publishing.state;
  const { config, readPool, profiles, now, log } = publishing.context;
  const profile = await profiles.known();
  const found: TableChange[] = [];
  const enqueue = async (changes: readonly TableChange[]): Promise<void> => void found.push(...changes);
  await sweep(
    {
      ...sweepSettings(config),
      read: readPool,
      write: null,
      store,
      publications,
      profile: () => profile,
      stability: createStabilityTracker(),
      enqueue,
      now,
      log,
    },
    { manyGone: false },
    { listStore: true },
  );
  if (config.DUMPER_PUBLIC_BLOB_URL !== undefined)
    await createVisibilityWatcher({ rights, store, publications, enqueue, log }).check();
  const tables = found.map(({ id, bytes, rebuild }) => ({ id, bytes: bytes ?? 0, force: rebuild ?? false }));
  return publishTables(publishing, tables, { force: false, whenGone: 'expected' }, run);
}
