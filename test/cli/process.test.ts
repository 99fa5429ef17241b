/** The program as a process: exit codes, where it writes, and a reader that leaves early. */
import { execFileSync, spawn } from 'node:child_process';
import { once } from 'node:events';
import { constants } from 'node:fs';
import { mkdir, mkdtemp, open, rm, writeFile, type FileHandle } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { fileURLToPath, pathToFileURL } from 'node:url';
import { describe, expect, it, vi } from 'vitest';
import { root } from '../house/tree.ts';
import { eventually } from '../world/eventually.ts';
import { serviceFixture, startProgram } from '../world/service.ts';

// processes are started, which takes long on a loaded machine
vi.setConfig({ testTimeout: 120_000 });

interface Ended {
  readonly code: number | null;
  readonly stdout: string;
  readonly stderr: string;
}

async function program(args: readonly string[], environment = {}, readerLeaves = false): Promise<Ended> {
  const child = spawn(process.execPath, ['src/main.ts', ...args], {
    cwd: root,
    env: { PATH: process.env['PATH'], ...environment },
  });
  let stdout = '';
  let stderr = '';
  if (readerLeaves) child.stdout.destroy();
  else child.stdout.on('data', (chunk: Buffer) => (stdout += chunk.toString()));
  child.stderr.on('data', (chunk: Buffer) => (stderr += chunk.toString()));
  const [code] = (await once(child, 'close')) as [number | null];
  return { code, stdout, stderr };
}

/** Opens a named pipe as soon as somebody reads from it, and writes nothing into it. */
function silentWriter(pipe: string): Promise<FileHandle> {
  const flags = constants.O_WRONLY | constants.O_NONBLOCK;
  return eventually('somebody reads', () => open(pipe, flags).catch(() => null));
}

describe('the program', () => {
  it('names every fault of the settings at once and exits with 78', async () => {
    const { code, stdout, stderr } = await program(['serve'], {
      DUMPER_PORT: 'http',
      DUMPER_PROT: '1',
      CKAN_SITE_URL: 'ckan',
    });
    expect(code).toBe(78);
    expect(stdout).toBe('');
    for (const name of ['DUMPER_PORT', 'DUMPER_PROT', 'CKAN_SITE_URL', 'CKAN_DATASTORE_READ_URL'])
      expect(stderr).toContain(`${name}: `);
  });

  it('exits with 64 for wrong usage, and with 0 for help', async () => {
    expect((await program(['publish'])).code).toBe(64);
    expect(await program(['--help'])).toMatchObject({ code: 0, stderr: '' });
  });

  it('verifies a blob store that is all it is given', async () => {
    const directory = await mkdtemp(path.join(tmpdir(), 'dumper-verify-'));
    const given = { DUMPER_BLOB_STORE: pathToFileURL(directory).href };
    expect(await program(['verify'], given)).toMatchObject({ code: 0, stderr: '' });
    const missing = await program(['verify', 'a'], given);
    expect([missing.code, missing.stdout]).toEqual([1, expect.stringContaining('nothing is published')]);
    const { code, stderr } = await program(['verify']);
    expect([code, stderr]).toEqual([78, 'datastore-dumper: DUMPER_BLOB_STORE: required\n']);
    await rm(directory, { recursive: true });
  });

  it('P1: verify tells of a blob that is missing, sweep makes it again', async () => {
    const world = await serviceFixture();
    await world.createTable('damaged', 3);
    expect(await program(['publish', '--all'], world.settings)).toMatchObject({ code: 0 });
    const store = fileURLToPath(world.settings['DUMPER_BLOB_STORE'] ?? '');
    const key = (await world.manifest('damaged'))?.blobs['csv+bom']?.key ?? '';
    await rm(path.join(store, key));
    const damaged = await program(['verify'], world.settings);
    expect([damaged.code, damaged.stdout]).toEqual([1, expect.stringContaining('csv+bom is missing')]);
    expect(await program(['sweep'], world.settings)).toMatchObject({ code: 0 });
    expect(await program(['verify'], world.settings)).toMatchObject({ code: 0 });
    await world.end();
  });

  it('doctor says within its deadline why a store under /proc cannot be used, and ends', async () => {
    const world = await serviceFixture({ settings: { DUMPER_BLOB_STORE: 'file:///proc/nope/blobs' } });
    const { code, stdout } = await program(['doctor'], world.settings);
    expect([code, stdout]).toEqual([
      1,
      expect.stringMatching(/\[FAIL\] blob store: the blob store cannot be used: ENOENT/),
    ]);
    expect(stdout.match(/\[FAIL\]/g)).toHaveLength(1);
    await world.end();
  });

  it('P20: serve ends on SIGTERM though its store is under /proc, and answers until then', async () => {
    const world = await serviceFixture({
      settings: { DUMPER_BLOB_STORE: 'file:///proc/nope/blobs', DUMPER_DRAIN_SECONDS: '1' },
    });
    await world.createTable('trees', 3);
    const running = await startProgram(world.settings);
    expect((await fetch(`${running.base}/datastore/dump/trees`)).status).toBe(200);
    running.child.kill('SIGTERM');
    expect(await running.exited).toBe(0);
    expect(running.lines().at(-1)).toMatchObject({ msg: 'stopped' });
    await world.end();
  });

  it('P20: serve ends on SIGTERM though an operation of its store hangs, with its own exit code', async () => {
    const world = await serviceFixture({
      settings: { DUMPER_PUBLIC_BLOB_URL: 'http://127.0.0.1/blobs', DUMPER_DRAIN_SECONDS: '1' },
    });
    const directory = fileURLToPath(world.settings['DUMPER_BLOB_STORE'] ?? '');
    await mkdir(path.join(directory, '.headers/public'), { recursive: true });
    await mkdir(path.join(directory, 'public'));
    await writeFile(path.join(directory, 'public/hangs'), 'bytes');
    // a pipe whose writer is silent: to read it never ends, as on a network mount that is away
    const pipe = path.join(directory, '.headers/public/hangs.json');
    execFileSync('mkfifo', [pipe]);
    const running = await startProgram(world.settings);
    const asked = fetch(`${running.base}/blobs/public/hangs`).then(
      () => 'answered',
      () => 'broken off',
    );
    const writer = await silentWriter(pipe);
    running.child.kill('SIGTERM');
    expect(await running.exited).toBe(0);
    expect(await asked).toBe('broken off');
    await writer.close();
    expect(running.lines().at(-1)).toMatchObject({ msg: 'stopped' });
    await world.end();
  });

  it('ends quietly when its reader has enough', async () => {
    expect(await program(['--help'], {}, true)).toEqual({ code: 0, stdout: '', stderr: '' });
  });
});
