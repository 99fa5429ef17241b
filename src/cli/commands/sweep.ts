/** `sweep`: compare every table with its manifest once, here and now; publish what changed, withdraw what is gone. */
import type { ExitCode, Run } from '../program.ts';
import { createReaders } from '../../change/visibility.ts';
import { sweep } from '../../change/sweep.ts';
import { retireSecondsOf } from '../../publish/publisher.ts';
import { createRestMemory } from '../../postgres/revision.ts';
import type { Notice } from '../../state/publications.ts';
import type { Publishing } from '../../app/publishing.ts';
import { publishTables } from './publish.ts';

export async function sweepCommand(publishing: Publishing, run: Run): Promise<ExitCode> {
  const { world, state, store, rights } = publishing;
  const profile = await world.profiles.known();
  const found: Notice[] = [];
  const look = async (notices: readonly Notice[]): Promise<void> => void found.push(...notices);
  await sweep(
    {
      read: world.readPool,
      write: null,
      store,
      records: state.records,
      profile: () => profile,
      variants: world.config.DUMPER_FORMATS,
      rest: createRestMemory(),
      look,
      now: world.now,
      log: world.log,
      lockSeconds: world.config.DUMPER_LOCK_SECONDS,
      retireSeconds: retireSecondsOf(world.config),
      maxSeconds: world.config.DUMPER_PUBLISH_MAX_SECONDS,
    },
    { manyGone: false },
    { listStore: true },
  );
  if (world.config.DUMPER_PUBLIC_BLOB_URL !== undefined) {
    await createReaders({ rights, store, records: state.records, look, log: world.log }).check();
  }
  const tables = found.map(({ id, bytes, rebuild }) => ({ id, bytes: bytes ?? 0, force: rebuild ?? false }));
  return publishTables(publishing, tables, { force: false, whenGone: 'withdrawn' }, run);
}
