/** An installation of the service on real parts, several of its processes at once, any of which may be killed. */
import { spawn, type ChildProcess } from 'node:child_process';
import { once } from 'node:events';
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { pathToFileURL } from 'node:url';
import { Client } from 'pg';
import { openBlobStore } from '../../src/blob-store/open.ts';
import type { BlobStore } from '../../src/blob-store/blob-store.ts';
import { openPermission } from '../../src/app/permission.ts';
import { openPublishing } from '../../src/app/publishing.ts';
import { startService, type Service } from '../../src/app/service.ts';
import { openContext } from '../../src/app/context.ts';
import { installTriggers } from '../../src/change/journal.ts';
import { sweepCommand } from '../../src/cli/commands/sweep.ts';
import { readConfig } from '../../src/config/config.ts';
import { createLog } from '../../src/log.ts';
import { freshDatabase, type Database } from '../world/postgres.ts';
import type { S3Server } from '../world/s3.ts';
import { keysIn, namedKeys } from './audit.ts';

export type Settings = Readonly<Record<string, string>>;

export interface Installation {
  readonly database: Database;
  readonly store: BlobStore;
  readonly settings: Settings;
  /** The owner of the tables; one connection more each time. */
  connect(url?: string): Promise<Client>;
  /** A service inside this process. */
  serve(settings?: Settings): Promise<{ readonly base: string; readonly sidecar: Service }>;
  /** A process of the service's own. */
  spawn(settings?: Settings): Child;
  /** Sweep once, by a clock so many seconds ahead, and clear away what it finds. */
  sweep(secondsAhead: number): Promise<void>;
  /** Keys that no manifest of these tables names, and unfinished uploads: empty when there is no litter. */
  litter(tables: readonly string[]): Promise<string[]>;
  close(): Promise<void>;
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

export interface InstallationOptions {
  readonly s3?: S3Server;
  readonly journal?: boolean;
  /** Superuser's URL of another Postgres than the run's. */
  readonly server?: string;
  readonly settings?: Settings;
}

export async function install(options: InstallationOptions = {}): Promise<Installation> {
  const database = await freshDatabase(options.server === undefined ? {} : { server: options.server });
  const directory = await mkdtemp(path.join(tmpdir(), 'dumper-crash-'));
  const settings = { ...(await settingsOf(database, directory, options)), ...options.settings };
  const store = openBlobStore(settings['DUMPER_BLOB_STORE'] ?? '', {
    environment: settings,
    signingSecret: 's',
  });
  const open: Open = { clients: [], children: [], sidecars: [] };
  const connect = async (url = database.writeUrl): Promise<Client> => {
    const client = new Client({ connectionString: url });
    client.on('error', () => undefined);
    await client.connect();
    open.clients.push(client);
    return client;
  };
  if (options.journal !== false) {
    const [owner, superuser] = [await connect(), await connect(database.adminUrl)];
    await installTriggers(owner, { readRole: 'datastore_default', lockSeconds: 5, superuser });
  }
  return {
    database,
    store,
    settings,
    connect,
    serve: async (more = {}) => {
      const all = { ...settings, ...more };
      const config = readConfig(all, ['read', 'publish']);
      const sidecar = await startService(all, config, { log: createLog('silent') });
      open.sidecars.push(sidecar);
      return { base: `http://127.0.0.1:${sidecar.port}`, sidecar };
    },
    spawn: (more = {}) => {
      const child = spawnChild({ ...settings, ...more });
      open.children.push(child);
      return child;
    },
    sweep: (secondsAhead) => sweepAhead(settings, secondsAhead),
    litter: (tables) => litterIn(store, tables),
    close: async () => {
      await closeAll(open);
      await store.close();
      await database.drop();
      await rm(directory, { recursive: true, force: true });
    },
  };
}

/** What has a life and must end before the database goes. */
interface Open {
  readonly clients: Client[];
  readonly children: Child[];
  readonly sidecars: Service[];
}

async function closeAll({ clients, children, sidecars }: Open): Promise<void> {
  for (const child of children) child.process.kill('SIGKILL');
  await Promise.all(children.map(({ ended }) => ended));
  await Promise.all(sidecars.map((sidecar) => sidecar.stop()));
  await Promise.all(clients.map((client) => client.end()));
}

async function settingsOf(
  database: Database,
  directory: string,
  { s3 }: InstallationOptions,
): Promise<Settings> {
  const place = s3
    ? { ...s3.environment, DUMPER_BLOB_STORE: `s3://${await s3.createBucket()}/dumps` }
    : { DUMPER_BLOB_STORE: pathToFileURL(directory).href };
  return {
    CKAN_DATASTORE_READ_URL: database.readUrl,
    CKAN_DATASTORE_WRITE_URL: database.writeUrl,
    DUMPER_STATE_URL: database.stateUrl,
    DUMPER_AUTHORIZE: 'off',
    DUMPER_QUIET_SECONDS: '0',
    DUMPER_HOT_TABLE_FACTOR: '0',
    DUMPER_HOST: '127.0.0.1',
    DUMPER_PORT: '0',
    DUMPER_DRAIN_SECONDS: '2',
    DUMPER_PUBLISH_MAX_SECONDS: '600',
    DUMPER_LOG_LEVEL: 'silent',
    DUMPER_ADMIN_TOKEN: 'admin',
    ...place,
  };
}

async function litterIn(store: BlobStore, tables: readonly string[]): Promise<string[]> {
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
  const world = { ...opened, now: () => new Date(Date.now() + secondsAhead * 1000) };
  const permission = await openPermission(world);
  const publishing = await openPublishing(world, { permission });
  const ignore = (): void => undefined;
  const output = { terminal: false, columns: 80, json: true, line: ignore, notice: ignore };
  try {
    const exit = await sweepCommand(publishing, { signal: new AbortController().signal, output });
    if (exit !== 0) throw new Error('the sweep failed');
  } finally {
    await publishing.close();
    await permission.close();
    await world.close();
  }
}
