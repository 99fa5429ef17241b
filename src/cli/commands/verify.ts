/** `verify`: every published blob is read again and compared with its manifest. */
import type { BlobStore } from '../../blob-store/blob-store.ts';
import type { ExitCode, Run } from '../program.ts';
import { showProgress, type Progress } from '../progress.ts';
import { publishedTables, readPublished } from '../../manifest.ts';
import { verify } from '../../publish/verify.ts';
import { DumperError, errorMessage } from '../../errors.ts';

export async function verifyCommand(store: BlobStore, id: string | undefined, run: Run): Promise<ExitCode> {
  const ids = id === undefined ? await Array.fromAsync(publishedTables(store)) : [id];
  return showProgress(findings(store, ids, run.signal), run.output, { total: ids.length });
}

async function* findings(
  store: BlobStore,
  ids: readonly string[],
  signal: AbortSignal,
): AsyncGenerator<Progress> {
  for (const id of ids) {
    signal.throwIfAborted();
    try {
      yield await verifyTable(store, id, signal);
    } catch (error) {
      yield { table: id, state: 'failed', rows: 0, bytes: 0, reason: errorMessage(error) };
    }
  }
}

async function verifyTable(store: BlobStore, id: string, signal: AbortSignal): Promise<Progress> {
  const published = await readPublished(store, id);
  if (published === null) throw new DumperError('NOT_FOUND', 'nothing is published of this table');
  if (published.manifest === null) throw new DumperError('MANIFEST_INVALID', 'its manifest cannot be read');
  const faults: string[] = [];
  let bytes = 0;
  for await (const finding of verify(store, published.manifest, signal)) {
    if (finding.kind === 'sound') bytes += finding.bytes;
    else faults.push(`${finding.variant} is ${finding.kind}`);
  }
  const { rows } = published.manifest;
  if (faults.length === 0) return { table: id, state: 'verified', rows, bytes };
  return { table: id, state: 'failed', rows, bytes, reason: faults.join(', ') };
}
