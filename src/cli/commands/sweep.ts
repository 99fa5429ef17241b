/** `sweep`: compare every table with its manifest once, here and now; publish what changed, withdraw what is gone. */
import type { ExitCode, Run } from '../program.ts';
import { createVisibilityWatcher } from '../../change/visibility.ts';
import { sweep, sweepSettings } from '../../change/sweep.ts';
import { createStabilityTracker } from '../../postgres/revision.ts';
import type { TableChange } from '../../state/publications.ts';
import type { Publishing } from '../../app/publishing.ts';
import { publishTables } from './publish.ts';

export async function sweepCommand(publishing: Publishing, run: Run): Promise<ExitCode> {
  const { context, state, store, rights } = publishing;
  const profile = await context.profiles.known();
  const found: TableChange[] = [];
  const enqueue = async (notices: readonly TableChange[]): Promise<void> => void found.push(...notices);
  await sweep(
    {
      read: context.readPool,
      write: null,
      store,
      publications: state.publications,
      profile: () => profile,
      stability: createStabilityTracker(),
      enqueue,
      now: context.now,
      log: context.log,
      ...sweepSettings(context.config),
    },
    { manyGone: false },
    { listStore: true },
  );
  if (context.config.DUMPER_PUBLIC_BLOB_URL !== undefined) {
    await createVisibilityWatcher({
      rights,
      store,
      publications: state.publications,
      enqueue,
      log: context.log,
    }).check();
  }
  const tables = found.map(({ id, bytes, rebuild }) => ({ id, bytes: bytes ?? 0, force: rebuild ?? false }));
  return publishTables(publishing, tables, { force: false, whenGone: 'withdrawn' }, run);
}
