/**
 * The files of a directory store: where a key's bytes and headers are, how a file appears complete or not at all, and
 * how blobs and leftovers are listed and removed (promise P7, no leftovers).
 */
import { randomUUID } from 'node:crypto';
import type { WriteStream } from 'node:fs';
import { mkdir, open, readdir, rename, rm, rmdir, stat, writeFile } from 'node:fs/promises';
import path from 'node:path';
import { DumperError, isDumperError, errorMessage } from '../errors.ts';
import { checkedKey, reservedSegments, type BlobHeaders, type BlobListing } from './blob-store.ts';

/** Where a blob is: its bytes, and `.headers/<key>.json`. */
interface BlobFiles {
  readonly bytes: string;
  readonly headers: string;
}

export function filesOfKey(directory: string, key: string): BlobFiles {
  const name = checkedKey(key);
  return { bytes: path.join(directory, name), headers: path.join(directory, '.headers', `${name}.json`) };
}

/** A new name under `.unfinished`, whose folder exists. */
export async function unfinishedFile(directory: string): Promise<string> {
  const folder = path.join(directory, '.unfinished');
  await mkdir(folder, { recursive: true });
  return path.join(folder, randomUUID());
}

/** Write a small file under `.unfinished`, synced; returns its name. */
export async function writeUnfinished(directory: string, body: string | Uint8Array): Promise<string> {
  const file = await unfinishedFile(directory);
  await writeFile(file, body, { flag: 'wx', flush: true });
  return file;
}

/** Write headers under `.unfinished`, synced; returns the file's name. */
export function writeHeaders(directory: string, headers: BlobHeaders): Promise<string> {
  const { contentType, contentDisposition, cacheControl } = headers;
  return writeUnfinished(directory, JSON.stringify({ contentType, contentDisposition, cacheControl }));
}

/** Move a finished file to its place; a deletion may remove the emptied folder meanwhile. */
export async function moveIntoPlace(unfinished: string, file: string): Promise<void> {
  const folder = path.dirname(file);
  for (let attempt = 1; ; attempt += 1) {
    await mkdir(folder, { recursive: true });
    try {
      await rename(unfinished, file);
      break;
    } catch (error) {
      if (!isMissing(error) || attempt === 5) throw error;
    }
  }
  await syncFolder(folder);
}

/** Make a rename inside `folder` survive a power failure. */
export async function syncFolder(folder: string): Promise<void> {
  const handle = await open(folder, 'r');
  try {
    await handle.sync();
  } finally {
    await handle.close();
  }
}

export function isMissing(error: unknown): boolean {
  const { code } = error as NodeJS.ErrnoException;
  return code === 'ENOENT' || code === 'ENOTDIR';
}

/** Null where there is no such file. */
export async function nullIfMissing<Answer>(work: Promise<Answer>): Promise<Answer | null> {
  try {
    return await work;
  } catch (error) {
    if (isMissing(error)) return null;
    throw error;
  }
}

/** The catalogue's error for what the file system threw. */
export function directoryError(error: unknown): DumperError {
  if (isDumperError(error)) return error;
  const message = `the blob store cannot be used: ${errorMessage(error)}`;
  return new DumperError('BLOB_STORE_UNAVAILABLE', message, { cause: error });
}

/** Wait until a file is closed: one that is still being opened would appear after its removal. */
export async function closeFile(sink: WriteStream): Promise<void> {
  if (sink.closed) return;
  const { promise, resolve } = Promise.withResolvers<void>();
  sink.once('close', resolve).destroy();
  await promise;
}

/** Every blob whose key begins with `under`, folder by folder. */
export async function* listBlobs(directory: string, under: string): AsyncGenerator<BlobListing> {
  const folder = under.slice(0, under.lastIndexOf('/') + 1);
  if (folder.split('/').some((segment) => segment === '..' || segment === '.')) return;
  for await (const key of keysIn(directory, folder)) {
    if (!key.startsWith(under)) continue;
    const found = await nullIfMissing(stat(path.join(directory, key)));
    if (found !== null) yield { key, bytes: found.size, modifiedAt: found.mtime };
  }
}

/** Keys of the files in `folder` (empty, or ends in a slash) and below it. */
async function* keysIn(directory: string, folder: string): AsyncGenerator<string> {
  const entries = (await nullIfMissing(readdir(path.join(directory, folder), { withFileTypes: true }))) ?? [];
  for (const entry of entries.toSorted((a, b) => (a.name < b.name ? -1 : 1))) {
    if (folder === '' && reservedSegments.includes(entry.name)) continue;
    if (entry.isDirectory()) yield* keysIn(directory, `${folder}${entry.name}/`);
    else if (entry.isFile()) yield folder + entry.name;
  }
}

/** Delete blobs, the bytes first: headers without bytes are no blob. */
export async function deleteFiles(directory: string, keys: readonly string[]): Promise<void> {
  for (const key of keys) {
    const { bytes, headers } = filesOfKey(directory, key);
    for (const file of [bytes, headers]) {
      await nullIfMissing(rm(file));
      await removeEmpty(path.dirname(file), directory);
    }
  }
}

/** Remove `folder` and the folders above it as long as they are empty and inside `directory`. */
async function removeEmpty(folder: string, directory: string): Promise<void> {
  for (let empty = folder; empty.startsWith(directory + path.sep); empty = path.dirname(empty)) {
    const removed = await rmdir(empty).then(
      () => true,
      () => false,
    );
    if (!removed) return;
  }
}

/**
 * Remove what was last written before `before` and never finished: files under `.unfinished`, and headers whose bytes
 * never appeared. Returns how many files of the first kind.
 */
export async function removeUnfinished(directory: string, before: Date): Promise<number> {
  let removed = 0;
  const unfinished = path.join(directory, '.unfinished');
  for (const name of (await nullIfMissing(readdir(unfinished))) ?? []) {
    const file = path.join(unfinished, name);
    if (!(await isOlder(file, before))) continue;
    await nullIfMissing(rm(file));
    removed += 1;
  }
  const headers = path.join(directory, '.headers');
  for await (const name of keysIn(headers, '')) {
    const bytes = path.join(directory, name.replace(/\.json$/, ''));
    if ((await nullIfMissing(stat(bytes))) !== null || !(await isOlder(path.join(headers, name), before)))
      continue;
    await nullIfMissing(rm(path.join(headers, name)));
    await removeEmpty(path.dirname(path.join(headers, name)), directory);
  }
  return removed;
}

async function isOlder(file: string, before: Date): Promise<boolean> {
  const found = await nullIfMissing(stat(file));
  return found !== null && found.mtime < before;
}
