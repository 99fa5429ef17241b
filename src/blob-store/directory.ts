/**
 * Blobs in a directory, served by this service itself under `/blobs/` (promise P23, two equal stores).
 *
 *     <directory>/<key>                  the bytes
 *     <directory>/.headers/<key>.json    their headers, written before the bytes appear
 *     <directory>/.unfinished/<uuid>     what is being written
 *     <directory>/.lock                  see directory-lock.ts
 *
 * A crash leaves no partly visible blob: bytes are synced under `.unfinished` and appear by a rename, and headers
 * without bytes are no blob (promises P1 and P2: no truncated blob, crashes are harmless). `abortUnfinished` finds what a
 * crash leaves behind (promise P7, no leftovers).
 */
import { createHash } from 'node:crypto';
import { createWriteStream, mkdirSync, readFileSync, renameSync } from 'node:fs';
import { open, readFile, rm, stat } from 'node:fs/promises';
import path from 'node:path';
import type { Readable } from 'node:stream';
import { pipeline } from 'node:stream/promises';
import { isDumperError } from '../errors.ts';
import { signPath } from '../signed-path.ts';
import {
  checkedKey,
  requireSmall,
  sourceError,
  transferAborted,
  type BlobHead,
  type BlobHeaders,
  type BlobSource,
  type BlobStore,
  type ByteRange,
  type PutOptions,
  type SignOptions,
  type SmallObject,
} from './blob-store.ts';
import {
  closeFile,
  deleteFiles,
  directoryError,
  filesOfKey,
  isMissing,
  listBlobs,
  moveIntoPlace,
  nullIfMissing,
  removeUnfinished,
  syncFolder,
  unfinishedFile,
  writeHeaders,
  writeUnfinished,
} from './directory-files.ts';
import { openLock, type DirectoryLock } from './directory-lock.ts';

interface DirectoryStoreOptions {
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
    read: (key, signal, range) => mapErrors(() => read(directory, key, signal, range)),
    head: (key) => mapErrors(() => head(directory, key)),
    readSmall: (key) => mapErrors(() => readSmall(directory, key)),
    replaceSmall: (key, body, contentType, expected) =>
      mapErrors(() => replaceSmall(directory, lock, { key, body, contentType, expected })),
    list: (prefix) => listBlobs(directory, prefix),
    delete: (keys) => mapErrors(() => deleteFiles(directory, keys)),
    abortUnfinished: (before) => mapErrors(() => removeUnfinished(directory, before)),
    signedUrl: async (key, options) => baseUrl + signedPath(signingSecret, key, options),
    check: () => mapErrors(() => check(directory)),
    close: async () => lock.close(),
  };
}

/** Run `work`; what the file system throws becomes the catalogue's error. */
async function mapErrors<Answer>(work: () => Promise<Answer>): Promise<Answer> {
  try {
    return await work();
  } catch (error) {
    throw directoryError(error);
  }
}

async function put(directory: string, key: string, source: BlobSource, options: PutOptions): Promise<void> {
  const { signal } = options;
  const target = filesOfKey(directory, key);
  const unfinished: string[] = [];
  try {
    const bytes = await unfinishedFile(directory);
    unfinished.push(bytes);
    await writeStream(source, bytes, signal);
    const headers = await writeHeaders(directory, options);
    unfinished.push(headers);
    signal.throwIfAborted();
    await moveIntoPlace(headers, target.headers);
    await moveIntoPlace(bytes, target.bytes);
  } catch (error) {
    source.destroy();
    for (const file of unfinished) await rm(file, { force: true });
    throw putError(error, signal);
  }
}

function putError(error: unknown, signal: AbortSignal): unknown {
  if (isDumperError(error)) return error;
  const isOfFiles = (error as { syscall?: unknown }).syscall !== undefined;
  if (isOfFiles) return directoryError(error);
  return signal.aborted ? transferAborted(signal) : error;
}

/** Rejects with the source's own error when it was the source that failed. */
async function writeStream(source: BlobSource, file: string, signal: AbortSignal): Promise<void> {
  if (signal.aborted) throw transferAborted(signal);
  // A chunk is written before the next one is requested: its memory may then be reused.
  const sink = createWriteStream(file, { flags: 'wx', flush: true, highWaterMark: 1 });
  let fileFailed = false;
  sink.once('error', (error: NodeJS.ErrnoException) => {
    fileFailed = error.syscall !== undefined;
  });
  const stop = (): void => void source.destroy(transferAborted(signal));
  signal.addEventListener('abort', stop, { once: true });
  try {
    await pipeline(source, sink);
  } catch (error) {
    await closeFile(sink);
    throw fileFailed ? directoryError(error) : sourceError(error);
  } finally {
    signal.removeEventListener('abort', stop);
  }
}

async function read(
  directory: string,
  key: string,
  signal: AbortSignal,
  range?: ByteRange,
): Promise<Readable | null> {
  const handle = await nullIfMissing(open(filesOfKey(directory, key).bytes, 'r'));
  if (handle === null) return null;
  if (!(await handle.stat()).isFile()) {
    await handle.close();
    return null;
  }
  return handle.createReadStream({ signal, ...(range ? { start: range.start, end: range.end } : {}) });
}

async function head(directory: string, key: string): Promise<BlobHead | null> {
  const files = filesOfKey(directory, key);
  const found = await nullIfMissing(stat(files.bytes));
  if (!found?.isFile()) return null;
  const stored = await nullIfMissing(readFile(files.headers, 'utf8'));
  const headers = (stored === null ? {} : JSON.parse(stored)) as Partial<BlobHeaders>;
  return {
    bytes: found.size,
    contentType: headers.contentType ?? 'application/octet-stream',
    contentDisposition: headers.contentDisposition ?? 'attachment',
    modifiedAt: found.mtime,
  };
}

async function readSmall(directory: string, key: string): Promise<SmallObject | null> {
  const files = filesOfKey(directory, key);
  const found = await nullIfMissing(stat(files.bytes));
  if (!found?.isFile()) return null;
  requireSmall(found.size);
  const body = await nullIfMissing(readFile(files.bytes));
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
  const files = filesOfKey(directory, key);
  const headers = { contentType, contentDisposition: 'inline', cacheControl: 'no-cache' };
  const unfinished = await writeUnfinished(directory, body);
  try {
    await moveIntoPlace(await writeHeaders(directory, headers), files.headers);
    const switched = await lock.exclusive(() => {
      if (versionNow(files.bytes) !== expected) return false;
      mkdirSync(path.dirname(files.bytes), { recursive: true });
      renameSync(unfinished, files.bytes);
      return true;
    });
    if (switched) await nullIfMissing(syncFolder(path.dirname(files.bytes)));
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
