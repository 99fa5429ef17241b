/** An installation whose services are processes, any of which may be killed, and what is left behind by them. */
import { spawn, type ChildProcess } from 'node:child_process';
import { once } from 'node:events';
import path from 'node:path';
import type { BlobStore } from '../../src/blob-store/blob-store.ts';
import { openPermission } from '../../src/app/permission.ts';
import { openPublishing } from '../../src/app/publishing.ts';
import { openContext } from '../../src/app/context.ts';
import { sweepCommand } from '../../src/cli/commands/sweep.ts';
import { readConfig } from '../../src/config/config.ts';
import { createLog } from '../../src/log.ts';
import type { InstallationOptions, Settings } from '../world/installation.ts';
import { serviceFixture, type ServiceFixture } from '../world/service.ts';
import { keysIn, namedKeys } from './audit.ts';

export interface ProcessFixture extends ServiceFixture {
  /** A process of the service's own. */
  spawn(settings?: Settings): Child;
  /** Sweep once, by a clock so many seconds ahead, and clear away what it finds. */
  sweep(secondsAhead: number): Promise<void>;
  /** Keys that no manifest of these tables names, and unfinished uploads: empty when there are no orphans. */
  orphans(tables: readonly string[]): Promise<string[]>;
}

export interface Child {
  readonly process: ChildProcess;
  /** Steps of publications so far, `<table> <step>`. */
  readonly steps: string[];
  readonly ended: Promise<{ readonly code: number | null; readonly signal: NodeJS.Signals | null }>;
  /** Where it listens, once it does. */
  readonly base: Promise<string>;
  errors(): string;
}

export async function processFixture(options: InstallationOptions = {}): Promise<ProcessFixture> {
  const installed = await serviceFixture({
    journal: 'superuser',
    ...options,
    settings: { ...patient, ...options.settings },
  });
  return {
    ...installed,
    spawn: (more = {}) => {
      const child = spawnChild({ ...installed.settings, ...more });
      installed.atEnd(async () => {
        child.process.kill('SIGKILL');
        await child.ended;
      });
      return child;
    },
    sweep: (secondsAhead) => sweepAhead(installed.settings, secondsAhead),
    orphans: (tables) => orphansIn(installed.store, tables),
  };
}

const patient: Settings = {
  DUMPER_DRAIN_SECONDS: '2',
  DUMPER_PUBLISH_MAX_SECONDS: '600',
  DUMPER_LOG_LEVEL: 'silent',
  DUMPER_ADMIN_TOKEN: 'admin',
};

async function orphansIn(store: BlobStore, tables: readonly string[]): Promise<string[]> {
  const named = new Set(await namedKeys(store, tables));
  const unfinished = await store.abortUnfinished(new Date(Date.now() + 3_600_000));
  const left = (await keysIn(store)).filter((key) => !named.has(key));
  return unfinished === 0 ? left : [...left, `${unfinished} unfinished`];
}

function spawnChild(environment: Settings): Child {
  const program = path.join(import.meta.dirname, 'child.ts');
  const started = spawn(process.execPath, ['--disable-warning=ExperimentalWarning', program], {
    env: { PATH: process.env['PATH'], ...environment },
    stdio: ['ignore', 'pipe', 'pipe'],
  });
  const steps: string[] = [];
  const base = Promise.withResolvers<string>();
  let [line, errors] = ['', ''];
  started.stdout.on('data', (chunk: Buffer) => {
    const lines = (line + chunk.toString()).split('\n');
    line = lines.pop() ?? '';
    for (const whole of lines) {
      if (whole.startsWith('listening ')) base.resolve(`http://127.0.0.1:${whole.slice(10)}`);
      else steps.push(whole);
    }
  });
  started.stderr.on('data', (chunk: Buffer) => (errors = (errors + chunk.toString()).slice(-20_000)));
  const ended = once(started, 'close').then(([code, signal]) => ({
    code: code as number | null,
    signal: signal as NodeJS.Signals | null,
  }));
  return { process: started, steps, ended, base: base.promise, errors: () => errors };
}

async function sweepAhead(settings: Settings, secondsAhead: number): Promise<void> {
  const config = readConfig(settings, ['read', 'publish']);
  const opened = openContext({ config, log: createLog('silent'), environment: settings });
  const context = { ...opened, now: () => new Date(Date.now() + secondsAhead * 1000) };
  const permission = await openPermission(context);
  const publishing = await openPublishing(context, { permission });
  const ignore = (): void => undefined;
  const output = { terminal: false, columns: 80, json: true, line: ignore, notice: ignore };
  try {
    const exit = await sweepCommand(publishing, { signal: new AbortController().signal, output });
    if (exit !== 0) throw new Error('the sweep failed');
  } finally {
    await publishing.close();
    await permission.close();
    await context.close();
  }
}
