/**
 * Files of a directory store: where a key's bytes and headers are, and how a file appears whole or not at all.
 */
import { randomUUID } from 'node:crypto';
import type { WriteStream } from 'node:fs';
import { mkdir, open, rename, writeFile } from 'node:fs/promises';
import path from 'node:path';
import { DumperError, isDumperError, errorMessage } from '../errors.ts';
import { checkedKey } from './key.ts';

/** What `.headers/<key>.json` holds. */
export interface StoredHeaders {
  readonly contentType: string;
  readonly contentDisposition: string;
  readonly cacheControl: string;
  readonly metadata?: Readonly<Record<string, string>>;
}

export function pathOfKey(directory: string, key: string): { bytes: string; headers: string } {
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

/** Move a finished file to its place; a deletion may take the emptied folder away meanwhile. */
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

/** Make a rename inside `folder` last through a loss of power. */
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
export async function orNull<Answer>(asking: Promise<Answer>): Promise<Answer | null> {
  try {
    return await asking;
  } catch (error) {
    if (isMissing(error)) return null;
    throw error;
  }
}

/** What the file system threw, as the catalogue's error. */
export function unavailable(error: unknown): DumperError {
  if (isDumperError(error)) return error;
  const message = `the blob store cannot be used: ${errorMessage(error)}`;
  return new DumperError('BLOB_STORE_UNAVAILABLE', message, { cause: error });
}

/** A file that is still being opened would come to be after its removal. */
export async function closed(sink: WriteStream): Promise<void> {
  if (sink.closed) return;
  const { promise, resolve } = Promise.withResolvers<void>();
  sink.once('close', resolve).destroy();
  await promise;
}
