/** The service on an installation of its own: in this process, or as the program that it is. The uppermost layer. */
import { spawn, type ChildProcess } from 'node:child_process';
import { once } from 'node:events';
import path from 'node:path';
import { startService, type Service, type ServiceOptions } from '../../src/app/service.ts';
import { readConfig } from '../../src/config/config.ts';
import { createLog } from '../../src/log.ts';
import { eventually } from './eventually.ts';
import {
  installationFixture,
  type Installation,
  type InstallationOptions,
  type Settings,
} from './installation.ts';

export interface ServiceFixture extends Installation {
  /** Start a service in this process, stopped at the end. */
  start(settings?: Settings, options?: ServiceOptions): Promise<Running>;
}

export interface Running {
  /** `http://127.0.0.1:<port>` */
  readonly base: string;
  readonly service: Service;
}

export async function serviceFixture(options: InstallationOptions = {}): Promise<ServiceFixture> {
  const installation = await installationFixture(options);
  return {
    ...installation,
    start: async (more = {}, serviceOptions = {}) => {
      const environment = { ...installation.settings, ...more };
      const service = await startService(environment, readConfig(environment, ['read', 'publish']), {
        log: createLog('silent'),
        ...serviceOptions,
      });
      let stopping: Promise<void> | null = null;
      const stop = (): Promise<void> => (stopping ??= service.stop());
      installation.atEnd(stop);
      return { base: `http://127.0.0.1:${service.port}`, service: { ...service, stop } };
    },
  };
}

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

/** Start `serve` as a process of its own; resolves when it listens. */
export async function startProgram(
  settings: Settings,
  command: readonly string[] = ['serve'],
): Promise<Program> {
  const child = spawn(
    process.execPath,
    ['--disable-warning=ExperimentalWarning', 'src/main.ts', ...command],
    {
      cwd: path.resolve(import.meta.dirname, '../..'),
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
    { seconds: 60 },
  );
  if (port === 'ended') throw new Error(`ended with ${child.exitCode}: ${written}`);
  return { child, base: `http://127.0.0.1:${String(port)}`, text: () => written, lines, exited };
}
