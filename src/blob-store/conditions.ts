/**
 * Does a store honour the conditions of compare-and-swap? `doctor` tries them on an object of its own: a write where
 * nothing is there, a write over the version just read, and both again when they no longer hold.
 */
import { randomBytes } from 'node:crypto';
import type { BlobStore } from './blob-store.ts';
import { DumperError } from '../errors.ts';

/**
 * `hold`, or `ignored`: the store accepts every write, so that only the fence in the state database keeps workers apart.
 * Throws `BLOB_STORE_UNAVAILABLE` where a condition that holds is refused: then nothing could ever be published.
 */
export async function probeConditionalWrites(
  store: Pick<BlobStore, 'readSmall' | 'replaceSmall' | 'delete'>,
): Promise<'hold' | 'ignored'> {
  const key = `.doctor/${randomBytes(8).toString('hex')}.json`;
  const replace = (body: string, expected: string | null): ReturnType<BlobStore['replaceSmall']> =>
    store.replaceSmall(key, Buffer.from(body), 'application/json', expected);
  try {
    if ((await replace('1', null)) === 'conflict') throw refused('If-None-Match: * on an absent object');
    const again = await replace('2', null);
    const { version } = (await store.readSmall(key)) ?? { version: '' };
    if ((await replace('3', version)) === 'conflict')
      throw refused(`If-Match with the ETag read (${version})`);
    const stale = await replace('4', version);
    return again === 'conflict' && stale === 'conflict' ? 'hold' : 'ignored';
  } finally {
    await store.delete([key]);
  }
}

function refused(condition: string): DumperError {
  return new DumperError('BLOB_STORE_UNAVAILABLE', `a condition that holds was refused: ${condition}`);
}
