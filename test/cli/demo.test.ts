/** The demo, run as a reader would: every printed command works, Ctrl-C and a crash leave nothing behind. */
import { execFile, spawn, type ChildProcess } from 'node:child_process';
import { once } from 'node:events';
import { existsSync, rmSync } from 'node:fs';
import path from 'node:path';
import { promisify } from 'node:util';
import { afterEach, describe, expect, it } from 'vitest';
import { root } from '../house/tree.ts';
import { eventually } from '../world/eventually.ts';

const run = promisify(execFile);
const started: ChildProcess[] = [];
afterEach(() => {
  for (const child of started.splice(0)) child.kill('SIGKILL');
  rmSync(dump, { force: true });
});

const dump = path.join(root, 'dump.csv');

interface Demo {
  readonly child: ChildProcess;
  readonly text: string;
  /** Its temporary directory. */
  readonly directory: string;
  readonly databasePort: string;
}

async function demo(): Promise<Demo> {
  const child = spawn(process.execPath, ['src/main.ts', 'demo', '--port', '0'], {
    cwd: root,
    env: { PATH: process.env['PATH'], HOME: process.env['HOME'] },
    stdio: ['ignore', 'pipe', 'pipe'],
  });
  started.push(child);
  let text = '';
  child.stdout?.on('data', (chunk: Buffer) => (text += chunk.toString()));
  child.stderr?.on('data', (chunk: Buffer) => (text += chunk.toString()));
  await eventually(
    'the demo tells what to try',
    () => text.includes('Ctrl-C stops') || child.exitCode !== null,
    { seconds: 120 },
  );
  expect(child.exitCode, text).toBeNull();
  return {
    child,
    text,
    directory: /Dumps are in (\S+)\/blobs/.exec(text)?.[1] ?? '',
    databasePort: /127\.0\.0\.1:(\d+)\/datastore'/.exec(text)?.[1] ?? '',
  };
}

/** Commands of the text, as they are printed: indented by five, a backslash joins lines. */
function printedCommands(text: string): string[] {
  const joined = text.replaceAll(/\\\n\s+/g, ' ');
  return [...joined.matchAll(/^ {5}((?:curl|npx) .*)$/gm)].map((match) => match[1] ?? '');
}

/** The directory is gone and nobody listens at the database's port. */
async function nothingLeft({ directory, databasePort }: Demo): Promise<void> {
  await eventually('the directory is removed', () => !existsSync(directory), { seconds: 120 });
  const port = Number(databasePort).toString(16).toUpperCase().padStart(4, '0');
  const { stdout } = await run('cat', ['/proc/net/tcp']).catch(() => ({ stdout: '' }));
  expect(stdout).not.toMatch(new RegExp(`0100007F:${port} 00000000:0000 0A`));
}

describe('the demo', () => {
  it(
    'prints commands that show what they promise, and Ctrl-C leaves nothing',
    { timeout: 180_000 },
    async () => {
      const shown = await demo();
      const [redirect = '', live = '', change = ''] = printedCommands(shown.text);
      const shell = async (command: string): Promise<string> =>
        (await run('bash', ['-c', command], { cwd: root })).stdout;
      const redirected = await shell(redirect);
      expect(redirected).toMatch(/302 Found[\s\S]*X-Dump-Source: blob[\s\S]*200 OK[\s\S]*text\/csv/);
      const answered = JSON.parse(await shell(live)) as { records: unknown[][] };
      expect(answered.records.map(([id]) => id)).toEqual([1, 2]);
      // the wait of the printed command, as a condition
      const [before = '', , after = ''] = change.split(/ && (sleep \d+) && /);
      expect(await shell(before)).toContain('X-Dump-Source: live');
      await eventually('fresh again', async () => (await shell(after)).includes('X-Dump-Source: blob'), {
        seconds: 120,
      });
      shown.child.kill('SIGINT');
      const [code] = (await once(shown.child, 'exit')) as [number | null];
      expect(code).toBe(0);
      await nothingLeft(shown);
    },
  );

  it('a crash leaves no server and no directory behind', { timeout: 180_000 }, async () => {
    const shown = await demo();
    expect(existsSync(shown.directory)).toBe(true);
    shown.child.kill('SIGKILL');
    await once(shown.child, 'exit');
    await nothingLeft(shown);
  });
});
