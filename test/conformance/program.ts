/** The service itself, a process as an operator runs it, with the environment of a recorded CKAN. */
import { spawn } from 'node:child_process';
import path from 'node:path';
import { eventually } from '../world/eventually.ts';
import { freePort } from '../world/free-port.ts';

export interface Service {
  readonly port: number;
  readonly pid: number;
  stop(): Promise<void>;
}

const program = path.join(import.meta.dirname, '../../src/main.ts');

/** Run one of the program's commands to its end; throws with its output unless it ends well. */
export async function runProgram(
  command: readonly string[],
  environment: Readonly<Record<string, string>>,
): Promise<void> {
  const child = spawn(process.execPath, ['--disable-warning=ExperimentalWarning', program, ...command], {
    env: { PATH: process.env['PATH'], DUMPER_LOG_LEVEL: 'error', ...environment },
    stdio: ['ignore', 'pipe', 'pipe'],
  });
  let output = '';
  for (const stream of [child.stdout, child.stderr]) {
    stream.on('data', (chunk: Buffer) => {
      output = (output + chunk.toString()).slice(-4000);
    });
  }
  const code = await new Promise<number | null>((resolve) => child.once('close', resolve));
  if (code !== 0) throw new Error(`${command.join(' ')} ended with ${code}: ${output}`);
}

export async function startService(environment: Readonly<Record<string, string>>): Promise<Service> {
  const port = await freePort();
  const child = spawn(process.execPath, ['--disable-warning=ExperimentalWarning', program, 'serve'], {
    env: {
      PATH: process.env['PATH'],
      DUMPER_HOST: '127.0.0.1',
      DUMPER_PORT: String(port),
      DUMPER_ROLE: 'serve',
      DUMPER_LOG_LEVEL: 'error',
      ...environment,
    },
    stdio: ['ignore', 'ignore', 'pipe'],
  });
  let log = '';
  child.stderr.on('data', (chunk: Buffer) => {
    log = (log + chunk.toString()).slice(-4000);
  });
  const ended = new Promise<void>((resolve) => child.once('exit', () => resolve()));
  const stop = async (): Promise<void> => {
    child.kill('SIGTERM');
    await ended;
  };
  try {
    await eventually(
      'the service is ready',
      async () => {
        if (child.exitCode !== null) throw new Error(`the service ended: ${log}`);
        const response = await fetch(`http://127.0.0.1:${port}/readyz`).catch(() => null);
        return response?.ok === true;
      },
      { seconds: 60 },
    );
  } catch (error) {
    await stop();
    throw new Error(`the service is not ready: ${log}`, { cause: error });
  }
  return { port, pid: child.pid ?? 0, stop };
}
