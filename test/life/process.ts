/** The program as a process of its own: started with settings, listened to, ended by signals. */
import { spawn, type ChildProcess } from 'node:child_process';
import { once } from 'node:events';
import { root } from '../house/tree.ts';
import { eventually } from '../world/eventually.ts';
import type { Settings } from './living.ts';

export interface Program {
  readonly child: ChildProcess;
  /** `http://127.0.0.1:<port>`, once it listens. */
  readonly base: string;
  /** All that it has written, to either stream. */
  text(): string;
  /** The lines of its log. */
  lines(): Record<string, unknown>[];
  readonly exited: Promise<number | null>;
}

/** Start `serve`; resolves when it listens. */
export async function startProgram(
  settings: Settings,
  command: readonly string[] = ['serve'],
): Promise<Program> {
  const child = spawn(
    process.execPath,
    ['--disable-warning=ExperimentalWarning', 'src/main.ts', ...command],
    {
      cwd: root,
      env: { PATH: process.env['PATH'], HOME: process.env['HOME'], ...settings },
      stdio: ['ignore', 'pipe', 'pipe'],
    },
  );
  let written = '';
  child.stdout.on('data', (chunk: Buffer) => (written += chunk.toString()));
  child.stderr.on('data', (chunk: Buffer) => (written += chunk.toString()));
  const exited = once(child, 'exit').then(([code]) => code as number | null);
  const lines = (): Record<string, unknown>[] =>
    written
      .split('\n')
      .filter((line) => line.startsWith('{') && line.endsWith('}'))
      .map((line) => JSON.parse(line) as Record<string, unknown>);
  const port = await eventually(
    'it listens',
    () => {
      if (child.exitCode !== null) return 'ended';
      return lines().find(({ msg }) => msg === 'listening')?.['port'];
    },
    { seconds: 25 },
  );
  if (port === 'ended') throw new Error(`ended with ${child.exitCode}: ${written}`);
  return { child, base: `http://127.0.0.1:${String(port)}`, text: () => written, lines, exited };
}
