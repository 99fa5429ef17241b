/**
 * Blobs in a directory, served by this service itself under `/blobs/` (promise P23).
 *
 *     <directory>/<key>                  the bytes
 *     <directory>/.headers/<key>.json    their headers, written before the bytes appear
 *     <directory>/.unfinished/<uuid>     what is being written
 *     <directory>/.lock                  see directory-lock.ts
 *
 * A crash leaves nothing half visible: bytes are synced under `.unfinished` and appear by a rename; headers without
 * bytes are no blob (promises P1, P2). What it leaves behind, `abortUnfinished` finds (promise P7).
 */
import { createHash } from 'node:crypto';
import { createWriteStream, mkdirSync, readFileSync, renameSync } from 'node:fs';
import { open, readFile, rm, stat } from 'node:fs/promises';
import path from 'node:path';
import type { Readable } from 'node:stream';
import { pipeline } from 'node:stream/promises';
import {
  smallObjectBytes,
  type BlobHead,
  type BlobSource,
  type BlobStore,
  type ByteRange,
  type PutOptions,
  type SignOptions,
  type SmallObject,
} from './blob-store.ts';
import { DumperError, isDumperError } from '../errors.ts';
import { signPath } from '../signed-path.ts';
import {
  moveIntoPlace,
  isMissing,
  orNull,
  pathOfKey,
  syncFolder,
  unavailable,
  unfinishedFile,
  writeUnfinished,
  type StoredHeaders,
  closed,
} from './directory-files.ts';
import { openLock, type DirectoryLock } from './directory-lock.ts';
import { abortUnfinished, deleteAll, list } from './directory-sweep.ts';
import { checkedKey } from './key.ts';

export interface DirectoryStoreOptions {
  readonly directory: string;
  readonly signingSecret: string;
  /** Put before signed paths; may be empty. */
  readonly baseUrl: string;
}

export function openDirectory({
  directory: given,
  signingSecret,
  baseUrl,
}: DirectoryStoreOptions): BlobStore {
  const directory = path.resolve(given);
  const lock = openLock(path.join(directory, '.lock'));
  return {
    kind: 'directory',
    put: (key, source, options) => put(directory, key, source, options),
    read: (key, signal, range) => said(() => read(directory, key, signal, range)),
    head: (key) => said(() => head(directory, key)),
    readSmall: (key) => said(() => readSmall(directory, key)),
    replaceSmall: (key, body, contentType, expected) =>
      said(() => replaceSmall(directory, lock, { key, body, contentType, expected })),
    list: (under) => list(directory, under),
    delete: (keys) => said(() => deleteAll(directory, keys)),
    abortUnfinished: (before) => said(() => abortUnfinished(directory, before)),
    signedUrl: async (key, options) => baseUrl + signedPath(signingSecret, key, options),
    check: () => said(() => check(directory)),
    close: async () => lock.close(),
  };
}

/** Run `ask`; what the file system throws is said as the catalogue's error. */
async function said<Answer>(ask: () => Promise<Answer>): Promise<Answer> {
  try {
    return await ask();
  } catch (error) {
    throw unavailable(error);
  }
}

async function put(directory: string, key: string, source: BlobSource, options: PutOptions): Promise<void> {
  const { contentType, contentDisposition, cacheControl, metadata, signal } = options;
  const stored: StoredHeaders = {
    contentType,
    contentDisposition,
    cacheControl,
    ...(metadata ? { metadata } : {}),
  };
  const place = pathOfKey(directory, key);
  const files: string[] = [];
  try {
    const bytes = await unfinishedFile(directory);
    files.push(bytes);
    await writeStream(source, bytes, signal);
    const headers = await writeUnfinished(directory, JSON.stringify(stored));
    files.push(headers);
    signal.throwIfAborted();
    await moveIntoPlace(headers, place.headers);
    await moveIntoPlace(bytes, place.bytes);
  } catch (error) {
    source.destroy();
    for (const file of files) await rm(file, { force: true });
    throw faultOf(error, signal);
  }
}

function faultOf(error: unknown, signal: AbortSignal): unknown {
  const own = signal.aborted ? abortReason(signal) : error;
  const ofFiles = (error as { syscall?: unknown }).syscall !== undefined;
  return isDumperError(error) ? error : ofFiles ? unavailable(error) : own;
}

/** Rejects with the source's own error when it was the source that failed. */
async function writeStream(source: BlobSource, file: string, signal: AbortSignal): Promise<void> {
  if (signal.aborted) throw abortReason(signal);
  // A chunk is written before the next one is asked for: its memory may then be used again.
  const sink = createWriteStream(file, { flags: 'wx', flush: true, highWaterMark: 1 });
  let fileFailed = false;
  sink.once('error', (error: NodeJS.ErrnoException) => {
    fileFailed = error.syscall !== undefined;
  });
  const stop = (): void => void source.destroy(abortReason(signal));
  signal.addEventListener('abort', stop, { once: true });
  try {
    await pipeline(source, sink);
  } catch (error) {
    await closed(sink);
    if (fileFailed) throw unavailable(error);
    const { code } = error as { code?: unknown };
    if (code !== 'ERR_STREAM_PREMATURE_CLOSE') throw error;
    throw new DumperError('COPY_BROKEN', 'the source of an upload ended before its last byte', {
      cause: error,
    });
  } finally {
    signal.removeEventListener('abort', stop);
  }
}

function abortReason(signal: AbortSignal): DumperError {
  const reason: unknown = signal.reason;
  return reason instanceof DumperError
    ? reason
    : new DumperError('ABORTED', 'the upload was broken off', { cause: reason });
}

async function read(
  directory: string,
  key: string,
  signal: AbortSignal,
  range?: ByteRange,
): Promise<Readable | null> {
  const handle = await orNull(open(pathOfKey(directory, key).bytes, 'r'));
  if (handle === null) return null;
  if (!(await handle.stat()).isFile()) {
    await handle.close();
    return null;
  }
  return handle.createReadStream({ signal, ...(range ? { start: range.start, end: range.end } : {}) });
}

async function head(directory: string, key: string): Promise<BlobHead | null> {
  const place = pathOfKey(directory, key);
  const seen = await orNull(stat(place.bytes));
  if (!seen?.isFile()) return null;
  const stored = await orNull(readFile(place.headers, 'utf8'));
  const headers = (stored === null ? {} : JSON.parse(stored)) as Partial<StoredHeaders>;
  return {
    bytes: seen.size,
    contentType: headers.contentType ?? 'application/octet-stream',
    contentDisposition: headers.contentDisposition ?? 'attachment',
    modifiedAt: seen.mtime,
  };
}

async function readSmall(directory: string, key: string): Promise<SmallObject | null> {
  const place = pathOfKey(directory, key);
  const seen = await orNull(stat(place.bytes));
  if (!seen?.isFile()) return null;
  if (seen.size > smallObjectBytes)
    throw new DumperError('MANIFEST_INVALID', 'a small object of more than 16 MiB is refused');
  const body = await orNull(readFile(place.bytes));
  return body === null ? null : { body, version: versionOf(body) };
}

function versionOf(body: Uint8Array): string {
  return createHash('sha256').update(body).digest('hex');
}

interface Replacement {
  readonly key: string;
  readonly body: Uint8Array;
  readonly contentType: string;
  readonly expected: string | null;
}

async function replaceSmall(
  directory: string,
  lock: DirectoryLock,
  { key, body, contentType, expected }: Replacement,
): Promise<'switched' | 'conflict'> {
  const place = pathOfKey(directory, key);
  const stored: StoredHeaders = { contentType, contentDisposition: 'inline', cacheControl: 'no-cache' };
  const unfinished = await writeUnfinished(directory, body);
  try {
    await moveIntoPlace(await writeUnfinished(directory, JSON.stringify(stored)), place.headers);
    const switched = await lock.exclusive(() => {
      if (versionNow(place.bytes) !== expected) return false;
      mkdirSync(path.dirname(place.bytes), { recursive: true });
      renameSync(unfinished, place.bytes);
      return true;
    });
    if (switched) await orNull(syncFolder(path.dirname(place.bytes)));
    return switched ? 'switched' : 'conflict';
  } finally {
    await rm(unfinished, { force: true });
  }
}

function versionNow(file: string): string | null {
  try {
    return versionOf(readFileSync(file));
  } catch (error) {
    if (isMissing(error)) return null;
    throw error;
  }
}

function signedPath(secret: string, key: string, options: SignOptions): string {
  const { cacheControl, contentDisposition, lifeSeconds } = options;
  const answer = {
    key: checkedKey(key),
    ...(cacheControl === undefined ? {} : { cacheControl }),
    ...(contentDisposition === undefined ? {} : { contentDisposition }),
  };
  return signPath(secret, answer, new Date(Date.now() + lifeSeconds * 1000));
}

async function check(directory: string): Promise<void> {
  const probe = await writeUnfinished(directory, 'probe');
  await readFile(probe);
  await rm(probe);
}
