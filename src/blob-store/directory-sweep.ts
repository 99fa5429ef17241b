/** Listing and clearing away in a directory store, its own affairs left out (promise P7). */
import { readdir, rm, rmdir, stat } from 'node:fs/promises';
import path from 'node:path';
import type { BlobListing } from './blob-store.ts';
import { orNull, pathOfKey } from './directory-files.ts';
import { reservedSegments } from './key.ts';

/** Every blob whose key begins with `under`, folder by folder. */
export async function* list(directory: string, under: string): AsyncGenerator<BlobListing> {
  const folder = under.slice(0, under.lastIndexOf('/') + 1);
  if (folder.split('/').some((segment) => segment === '..' || segment === '.')) return;
  for await (const key of keysIn(directory, folder)) {
    if (!key.startsWith(under)) continue;
    const seen = await orNull(stat(path.join(directory, key)));
    if (seen !== null) yield { key, bytes: seen.size, modifiedAt: seen.mtime };
  }
}

/** Keys of the files in `folder` (empty, or ends in a slash) and below it. */
async function* keysIn(directory: string, folder: string): AsyncGenerator<string> {
  const entries = (await orNull(readdir(path.join(directory, folder), { withFileTypes: true }))) ?? [];
  for (const entry of entries.toSorted((a, b) => (a.name < b.name ? -1 : 1))) {
    if (folder === '' && (reservedSegments as readonly string[]).includes(entry.name)) continue;
    if (entry.isDirectory()) yield* keysIn(directory, `${folder}${entry.name}/`);
    else if (entry.isFile()) yield folder + entry.name;
  }
}

/** Bytes first: headers without bytes are no blob. */
export async function deleteAll(directory: string, keys: readonly string[]): Promise<void> {
  for (const key of keys) {
    const { bytes, headers } = pathOfKey(directory, key);
    for (const file of [bytes, headers]) {
      await orNull(rm(file));
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
 * Remove what was last written before `before` and never finished: files under `.unfinished`, and headers whose
 * bytes never appeared. Returns how many of the first.
 */
export async function abortUnfinished(directory: string, before: Date): Promise<number> {
  let removed = 0;
  const unfinished = path.join(directory, '.unfinished');
  for (const name of (await orNull(readdir(unfinished))) ?? []) {
    const file = path.join(unfinished, name);
    if (!(await isOlder(file, before))) continue;
    await orNull(rm(file));
    removed += 1;
  }
  const headers = path.join(directory, '.headers');
  for await (const name of keysIn(headers, '')) {
    const bytes = path.join(directory, name.replace(/\.json$/, ''));
    if ((await orNull(stat(bytes))) !== null || !(await isOlder(path.join(headers, name), before))) continue;
    await orNull(rm(path.join(headers, name)));
    await removeEmpty(path.dirname(path.join(headers, name)), directory);
  }
  return removed;
}

async function isOlder(file: string, before: Date): Promise<boolean> {
  const seen = await orNull(stat(file));
  return seen !== null && seen.mtime < before;
}
