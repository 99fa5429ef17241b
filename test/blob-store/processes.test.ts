/** P2, P5, P7, P14: stores shared by several processes, one of which may be killed; six uploads in flat memory. */
import { spawn, type ChildProcess } from 'node:child_process';
import { once } from 'node:events';
import { mkdtemp, readdir, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { pathToFileURL } from 'node:url';
import { Readable } from 'node:stream';
import { afterEach, beforeEach, expect, test, vi } from 'vitest';
import type { BlobStore } from '../../src/blob-store/blob-store.ts';
import { openBlobStore } from '../../src/blob-store/open.ts';
import { eventually } from '../world/eventually.ts';
import { startS3 } from '../world/s3.ts';
import { asPut, keysOf, partBytes, signingSecret, soon } from './stores.ts';

// Measured with a busy machine, and room beyond.
vi.setConfig({ testTimeout: 120_000 });

let directory: string;
let url: string;
let store: BlobStore;

beforeEach(async () => {
  directory = await mkdtemp(path.join(tmpdir(), 'dumper-blobs-'));
  url = pathToFileURL(directory).href;
  store = openBlobStore(url, { signingSecret });
});
afterEach(async () => {
  await store.close();
  await rm(directory, { recursive: true });
});

interface Child {
  readonly process: ChildProcess;
  readonly output: () => string;
  readonly exit: Promise<number | null>;
}

function child(args: readonly string[], environment: Record<string, string> = {}): Child {
  const program = path.join(import.meta.dirname, 'child.ts');
  const started = spawn(process.execPath, ['--disable-warning=ExperimentalWarning', program, ...args], {
    env: { PATH: process.env['PATH'], ...environment },
    stdio: ['ignore', 'pipe', 'inherit'],
  });
  let output = '';
  started.stdout.on('data', (chunk: Buffer) => (output += chunk.toString()));
  return {
    process: started,
    output: () => output,
    exit: once(started, 'exit').then(([code]) => code as number | null),
  };
}

test('P5 four processes lose no switch of one object', async () => {
  const children = Array.from({ length: 4 }, () => child(['count', url, 'n', '40']));
  expect(await Promise.all(children.map(({ exit }) => exit))).toEqual([0, 0, 0, 0]);
  expect(Buffer.from((await store.readSmall('n'))?.body ?? []).toString()).toBe('160');
  expect(await store.abortUnfinished(soon())).toBe(0);
});

test('P5 a process killed among them holds up none of the others', async () => {
  const [victim, other] = [child(['count', url, 'n', '1000000']), child(['count', url, 'n', '60'])];
  await eventually('the number has begun to grow', async () => (await store.readSmall('n')) !== null, {
    seconds: 25,
  });
  victim.process.kill('SIGKILL');
  await victim.exit;
  expect(await other.exit).toBe(0);
  const read = await store.readSmall('n');
  expect(Number(Buffer.from(read?.body ?? []).toString())).toBeGreaterThanOrEqual(60);
  expect(await store.replaceSmall('n', Buffer.from('done'), 'text/plain', read?.version ?? null)).toBe(
    'switched',
  );
});

test('P2 P7 a blob whose writer was killed is not there, and one sweep clears its file', async () => {
  const writer = child(['hang', url, 't/r/t.csv']);
  await eventually(
    'the file grows',
    async () => writer.output() !== '' && (await readdir(path.join(directory, '.unfinished'))).length > 0,
    { seconds: 25 },
  );
  writer.process.kill('SIGKILL');
  await writer.exit;
  expect(await store.head('t/r/t.csv')).toBeNull();
  expect(await keysOf(store)).toEqual([]);
  expect(await store.abortUnfinished(new Date(0))).toBe(0);
  expect(await store.abortUnfinished(soon())).toBe(1);
  expect(await readdir(path.join(directory, '.unfinished'))).toEqual([]);
});

test('P7 headers whose bytes never appeared are swept, those of a blob are kept', async () => {
  await store.put('kept', Readable.from([Buffer.from('x')]), asPut());
  await store.put('lost', Readable.from([Buffer.from('x')]), asPut());
  await rm(path.join(directory, 'lost'));
  await store.abortUnfinished(soon());
  expect(await readdir(path.join(directory, '.headers'))).toEqual(['kept.json']);
  expect((await store.head('kept'))?.contentType).toBe('text/csv; charset=utf-8');
});

test('a directory that cannot be written is told', async () => {
  await store.put('file', Readable.from([Buffer.from('x')]), asPut());
  const wrong = openBlobStore(`${url}/file`, { signingSecret });
  await expect(wrong.check()).rejects.toMatchObject({ code: 'BLOB_STORE_UNAVAILABLE' });
  const source = Readable.from([Buffer.from('x')]);
  await expect(wrong.put('k', source, asPut())).rejects.toMatchObject({ code: 'BLOB_STORE_UNAVAILABLE' });
  expect(source.destroyed).toBe(true);
  await wrong.close();
});

test('P14 six uploads at once to S3 take no more memory for 900 MB than for 150 MB', async (context) => {
  const server = await startS3();
  if ('skipped' in server) return context.skip(server.skipped);
  const bucket = await server.createBucket();
  const peak = async (bytes: number): Promise<number> => {
    const uploads = child(['six', `s3://${bucket}/p`, String(bytes)], { ...server.environment });
    expect(await uploads.exit).toBe(0);
    return Number(/peak (\d+)/.exec(uploads.output())?.[1]) / 1024;
  };
  const [short, long] = [await peak(5 * partBytes), await peak(30 * partBytes)];
  console.log(
    `six uploads at once: peak ${Math.round(short)} MiB of 25 MiB each, ${Math.round(long)} MiB of 150 MiB each`,
  );
  expect(long).toBeLessThan(short * 1.4);
  expect(long).toBeLessThan(400);
  await server.stop();
});
