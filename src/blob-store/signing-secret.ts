/**
 * The key of a directory store's signed paths: the one that is set, else 32 random bytes, made once and kept beside the
 * blobs, so that every process that shares the directory has the same (P6, a redirect stays valid). It is derived from
 * nothing: a signed URL, which anybody may have, must not let anyone guess a password.
 *
 * The file is its owner's alone (mode 0600), and its name is reserved, so that no key leads to it.
 */
import { randomBytes } from 'node:crypto';
import { existsSync, renameSync } from 'node:fs';
import { readFile, rm } from 'node:fs/promises';
import path from 'node:path';
import { DumperError } from '../errors.ts';
import { directoryError, nullIfMissing, syncFolder, writeUnfinished } from './directory-files.ts';
import { openLock } from './directory-lock.ts';

/** Rejects with `BLOB_STORE_UNAVAILABLE` while it can neither be read nor made. */
export type SigningSecret = () => Promise<string>;

const secretBytes = 32;

/** The secret of this directory, read or made when it is first needed. */
export function keptSecret(directory: string): SigningSecret {
  let known: Promise<string> | null = null;
  return () => {
    known ??= readOrMake(path.resolve(directory)).catch((error: unknown) => {
      known = null;
      throw directoryError(error);
    });
    return known;
  };
}

async function readOrMake(directory: string): Promise<string> {
  const file = path.join(directory, '.secret');
  return (await readSecret(file)) ?? (await makeSecret(directory, file));
}

async function readSecret(file: string): Promise<string | null> {
  const text = await nullIfMissing(readFile(file, 'utf8'));
  if (text === null || /^[0-9a-f]{64}$/.test(text)) return text;
  throw new DumperError('BLOB_STORE_UNAVAILABLE', `the blob store cannot be used: ${file} holds no secret`);
}

/** The first process to come makes it; it appears complete or not at all. */
async function makeSecret(directory: string, file: string): Promise<string> {
  const made = randomBytes(secretBytes).toString('hex');
  const unfinished = await writeUnfinished(directory, made, 0o600);
  const lock = openLock(path.join(directory, '.lock'));
  try {
    const isFirst = await lock.exclusive(() => {
      if (existsSync(file)) return false;
      renameSync(unfinished, file);
      return true;
    });
    if (isFirst) await syncFolder(directory);
    return isFirst ? made : ((await readSecret(file)) ?? made);
  } finally {
    lock.close();
    await rm(unfinished, { force: true });
  }
}
