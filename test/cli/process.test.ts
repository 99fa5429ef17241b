/** The program as a process: exit codes, where it writes, and a reader that leaves early. */
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { describe, expect, it } from 'vitest';
import { root } from '../house/tree.ts';

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

  it('ends quietly when its reader has enough', async () => {
    expect(await program(['--help'], {}, true)).toEqual({ code: 0, stdout: '', stderr: '' });
  });
});
