/** The key of a directory's signed paths: random, made once, its owner's alone, never given (P6, P18). */
import { createHash } from 'node:crypto';
import { chmod, mkdtemp, readFile, rm, stat, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { fileURLToPath, pathToFileURL } from 'node:url';
import { afterEach, beforeEach, expect, it } from 'vitest';
import { openBlobStore } from '../../src/blob-store/open.ts';
import { keptSecret } from '../../src/blob-store/signing-secret.ts';
import { verifyPath } from '../../src/signed-path.ts';
import { readConfig } from '../../src/config/config.ts';
import { startService, type Service } from '../../src/app/service.ts';
import { createLog } from '../../src/log.ts';
import { eventually } from '../world/eventually.ts';
import { serviceFixture } from '../world/service.ts';

let directory: string;
beforeEach(async () => {
  directory = await mkdtemp(path.join(tmpdir(), 'dumper-secret-'));
});
afterEach(() => rm(directory, { recursive: true }));

it('all who share the directory have the same, however many come first at once; another has another', async () => {
  const place = path.join(directory, 'not', 'yet', 'there');
  const made = await Promise.all(Array.from({ length: 20 }, () => keptSecret(place)()));
  expect(new Set(made).size).toBe(1);
  expect(made[0]).toMatch(/^[0-9a-f]{64}$/);
  expect(await keptSecret(place)()).toBe(made[0]);
  expect(await keptSecret(directory)()).not.toBe(made[0]);
});

it("lies beside the blobs as its owner's alone, and no key leads to it", async () => {
  const secret = await keptSecret(directory)();
  const file = path.join(directory, '.secret');
  expect((await stat(file)).mode & 0o777).toBe(0o600);
  const store = openBlobStore(pathToFileURL(directory).href);
  await expect(store.read('.secret', new AbortController().signal)).rejects.toThrow('no such blob');
  await expect(store.signedUrl('.secret', { lifeSeconds: 60 })).rejects.toThrow('no such blob');
  expect(await Array.fromAsync(store.list(''))).toEqual([]);
  const url = await store.signedUrl('a/b.csv', { lifeSeconds: 60 });
  expect(verifyPath(secret, url, new Date()).kind).toBe('valid');
  await store.close();
});

it('a file that holds something else is an error that names it, not a weak key', async () => {
  const file = path.join(directory, '.secret');
  await writeFile(file, '');
  await expect(keptSecret(directory)()).rejects.toThrow(file);
  await rm(file);
  await expect(keptSecret(directory)()).resolves.toMatch(/^[0-9a-f]{64}$/);
  await chmod(file, 0o400);
  await expect(keptSecret(directory)()).resolves.toBe(await readFile(file, 'utf8'));
});

it('a signed URL is not signed with anything that is made of the state URL, and replicas give and take the same', async () => {
  const fixture = await serviceFixture();
  await fixture.createTable('trees', 3);
  const [one, two] = [await fixture.start(), await fixture.start({ DUMPER_ROLE: 'serve' })];
  const state = fixture.settings['DUMPER_STATE_URL'] ?? '';
  const derived = createHash('sha256').update(`datastore-dumper blob urls\n${state}`).digest('hex');
  const location = await redirected(`${one.base}/datastore/dump/trees`);
  expect(verifyPath(derived, location, new Date()).kind).toBe('forged');
  expect((await fetch(two.base + location)).status).toBe(200);
  expect((await fetch(`${one.base}/blobs/.secret`)).status).toBe(403);
  const secret = await readFile(
    path.join(fileURLToPath(fixture.settings['DUMPER_BLOB_STORE'] ?? ''), '.secret'),
    'utf8',
  );
  expect(verifyPath(secret, location, new Date()).kind).toBe('valid');
  const withoutState = await openService({ ...fixture.settings, DUMPER_STATE_URL: '', DUMPER_ROLE: 'serve' });
  expect((await fetch(`http://127.0.0.1:${withoutState.port}${location}`)).status).toBe(200);
  await withoutState.stop();
  await fixture.end();
});

function openService(environment: Record<string, string>): Promise<Service> {
  const config = readConfig(environment, ['read', 'store']);
  return startService(environment, config, { log: createLog('silent') });
}

/** Where a dump is redirected to as soon as it is published. */
function redirected(url: string): Promise<string> {
  return eventually(
    'it is published',
    () => fetch(url, { redirect: 'manual' }).then((answer) => answer.headers.get('location')),
    { seconds: 30 },
  );
}
