/** The program as a process: exit codes, where it writes, and a reader that leaves early. */
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { fileURLToPath, pathToFileURL } from 'node:url';
import { describe, expect, it, vi } from 'vitest';
import { root } from '../house/tree.ts';
import { serviceFixture } from '../world/service.ts';

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

  it('ends quietly when its reader has enough', async () => {
    expect(await program(['--help'], {}, true)).toEqual({ code: 0, stdout: '', stderr: '' });
  });
});
