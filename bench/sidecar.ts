/** The service as the image has it, built: a process of its own, beside a Postgres with the change journal and a CKAN. */
import { spawn, type ChildProcess } from 'node:child_process';
import { once } from 'node:events';
import { closeSync, openSync } from 'node:fs';
import { mkdtemp, rm } from 'node:fs/promises';
import http from 'node:http';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { pathToFileURL } from 'node:url';
import { startCkan } from '../test/world/fake-ckan.ts';
import { eventually } from '../test/world/eventually.ts';
import { freePort } from '../test/world/free-port.ts';

/** As the image and the scripts of package.json have them: a heap that grows little before it is collected. */
const memoryFlags = ['--max-semi-space-size=8', '--heap-growing-percent=25'];

export interface Service {
  readonly url: string;
  readonly pid: number;
  stop(): Promise<void>;
}

export interface ServiceOptions {
  readonly readUrl: string;
  readonly stateUrl: string;
  /** Without it, only routes: nothing runs beside what is measured. */
  readonly publishes: boolean;
  /** Without one: a directory that goes with the service. */
  readonly blobStore?: { readonly url: string; readonly environment: Readonly<Record<string, string>> };
  /** The processor it may run on; undefined: any. */
  readonly core?: number;
}

export async function startService(options: ServiceOptions): Promise<Service> {
  const directory = await mkdtemp(path.join(tmpdir(), 'dumper-bench-'));
  const ckan = await startCkan({ version: '2.12.0', permissions: () => 200 });
  const port = await freePort();
  const program = path.join(import.meta.dirname, '../dist/main.js');
  const log = openSync(path.join(directory, 'log'), 'w');
  const child = spawnOn(options.core, [...memoryFlags, program, 'serve'], log, {
    ...options.blobStore?.environment,
    CKAN_DATASTORE_READ_URL: options.readUrl,
    CKAN_SITE_URL: ckan.url,
    DUMPER_STATE_URL: options.stateUrl,
    DUMPER_BLOB_STORE: options.blobStore?.url ?? pathToFileURL(directory).href,
    DUMPER_QUIET_SECONDS: '0',
    DUMPER_ROLE: options.publishes ? 'all' : 'serve',
    DUMPER_HOST: '127.0.0.1',
    DUMPER_PORT: String(port),
  });
  closeSync(log);
  const url = `http://127.0.0.1:${port}`;
  await eventually('the service is ready', async () => (await statusOf(`${url}/readyz`)) === 200);
  return {
    url,
    pid: child.pid ?? 0,
    stop: async () => {
      await ended(child);
      await ckan.stop();
      await rm(directory, { recursive: true });
    },
  };
}

/** Run a script with this Node, on one processor if asked so. */
export function spawnOn(
  core: number | undefined,
  script: readonly string[],
  standardError: 'inherit' | number,
  environment: Readonly<Record<string, string>>,
): ChildProcess {
  const node = [process.execPath, '--disable-warning=ExperimentalWarning', ...script];
  const [program = '', ...args] = core === undefined ? node : ['taskset', '-c', String(core), ...node];
  const child = spawn(program, args, {
    env: { PATH: process.env['PATH'], ...environment },
    stdio: ['ignore', 'inherit', standardError],
  });
  // A benchmark that fails leaves no service behind.
  process.once('exit', () => child.kill());
  return child;
}

export async function ended(child: ChildProcess): Promise<void> {
  if (child.exitCode !== null) return;
  const exit = once(child, 'exit');
  child.kill('SIGTERM');
  await exit;
}

export async function statusOf(url: string): Promise<number> {
  const response = await new Promise<http.IncomingMessage>((resolve, reject) => {
    http.get(url, { agent: false }, resolve).on('error', reject);
  });
  response.resume();
  return response.statusCode ?? 0;
}
