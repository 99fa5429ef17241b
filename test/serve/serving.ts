/** A whole answering service over real parts: Postgres, a small CKAN, a directory store, HTTP on loopback. */
import { randomBytes } from 'node:crypto';
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { Writable } from 'node:stream';
import { pathToFileURL } from 'node:url';
import { Client } from 'pg';
import type { BlobStore } from '../../src/blob-store.ts';
import { listen } from '../../src/assembly/http-server.ts';
import { openBlobStore } from '../../src/blob-store/open.ts';
import { attachMissing, installTriggers } from '../../src/change/journal.ts';
import { createCkan } from '../../src/ckan.ts';
import { ckanProfile, type CkanVersion } from '../../src/ckan-profile.ts';
import { readConfig } from '../../src/config.ts';
import { publish } from '../../src/dump/publish.ts';
import { createLog } from '../../src/log.ts';
import { createMetrics } from '../../src/metrics.ts';
import { createPool } from '../../src/postgres.ts';
import { createRestMemory } from '../../src/revision.ts';
import { createApp } from '../../src/serve/app.ts';
import { createManifests } from '../../src/serve/freshness.ts';
import { createPermission } from '../../src/serve/permission.ts';
import { createSlots } from '../../src/serve/slots.ts';
import type { ServeWorld } from '../../src/serve/world.ts';
import { openState, type State } from '../../src/state.ts';
import { asResourceId } from '../../src/table.ts';
import { publishedVariants } from '../dump/publishing.ts';
import { rightsOver, startCkan, type StandInCkan, type TableRights } from '../world/ckan.ts';
import { asAdmin, freshDatabase, type Corpus, type Database } from '../world/postgres.ts';

export interface ServingOptions {
  readonly corpus?: Corpus;
  /** Whose bytes; 2.12 unless given. */
  readonly version?: CkanVersion;
  readonly environment?: Readonly<Record<string, string>>;
  readonly parts?: Partial<ServeWorld>;
  /** Has ckanext-datastore-authz. */
  readonly authorize?: boolean;
  /** Another way to the DataStore for live answers than straight to it. */
  readonly liveUrl?: (database: Database) => Promise<string>;
  /** The store as answers see it; publishing goes straight to it. */
  readonly storeSeen?: (store: BlobStore) => BlobStore;
}

export interface Serving {
  readonly url: string;
  readonly port: number;
  readonly database: Database;
  readonly ckan: StandInCkan;
  readonly store: BlobStore;
  readonly state: State;
  readonly world: ServeWorld;
  /** CKAN's rights over tables, changed by tests at run time. */
  readonly tables: Map<string, TableRights>;
  /** Lines of the log. */
  readonly log: string[];
  /** The owner's connection. */
  readonly owner: Client;
  /** Make a table as CKAN does, with rows of `(n, text)`. */
  createTable(id: string, rows: number, rights?: Partial<TableRights>): Promise<void>;
  publish(id: string, options?: { exposed?: boolean; public?: boolean; force?: boolean }): Promise<void>;
  /** Terminate the backends of live answers. */
  killLive(): Promise<void>;
  close(): Promise<void>;
}

export async function startServing(options: ServingOptions = {}): Promise<Serving> {
  const database = await freshDatabase(options.corpus === undefined ? {} : { corpus: options.corpus });
  const tables = new Map<string, TableRights>();
  const ckan = await startCkan({
    permissions: rightsOver(tables),
    authorize: options.authorize ?? false,
    dataset: (id) => tables.get(id) ?? { private: false, state: 'active' },
  });
  const directory = await mkdtemp(path.join(tmpdir(), 'dumper-serve-'));
  const config = readConfig({
    CKAN_DATASTORE_READ_URL: database.readUrl,
    CKAN_SITE_URL: ckan.url,
    DUMPER_STATE_URL: database.stateUrl,
    DUMPER_BLOB_STORE: pathToFileURL(directory).href,
    DUMPER_COUNTER_MARGIN_SECONDS: '0',
    DUMPER_DECISION_CACHE_SECONDS: '0',
    DUMPER_CKAN_TIMEOUT_SECONDS: '1',
    ...options.environment,
  });
  const blobSecret = randomBytes(16).toString('hex');
  const store = openBlobStore(config.DUMPER_BLOB_STORE ?? '', {
    signingSecret: blobSecret,
    baseUrl: config.DUMPER_BASE_URL ?? '',
  });
  const profile = ckanProfile(options.version ?? '2.12');
  const open = (applicationName: string, url: string, size: number) =>
    createPool({ url, applicationName, size, onIdleError: () => undefined });
  const readPool = open('test read', database.readUrl, 4);
  const livePool = open(
    'test live',
    (await options.liveUrl?.(database)) ?? database.readUrl,
    config.DUMPER_LIVE_SLOTS,
  );
  const state = await openState({ url: database.stateUrl, onIdleError: () => undefined });
  const client = createCkan({
    siteUrl: ckan.url,
    timeoutSeconds: config.DUMPER_CKAN_TIMEOUT_SECONDS,
    now: Date.now,
  });
  const lines: string[] = [];
  const log = createLog('debug', linesInto(lines));
  const metrics = createMetrics();
  const now = (): Date => new Date();
  const seen = options.storeSeen?.(store) ?? store;
  const ending = new AbortController();
  const world: ServeWorld = {
    config,
    profile: () => profile,
    readPool,
    livePool,
    slots: createSlots(config.DUMPER_LIVE_SLOTS),
    store: seen,
    manifests: createManifests({
      store: seen,
      rest: createRestMemory(),
      marginSeconds: config.DUMPER_COUNTER_MARGIN_SECONDS,
      retireMarginSeconds: config.DUMPER_RETIRE_MARGIN_SECONDS,
      now,
      log,
    }),
    blobSecret,
    permission: createPermission({
      ckan: client,
      decisionSeconds: config.DUMPER_DECISION_CACHE_SECONDS,
      publicTables: ['_table_metadata'],
      shared: null,
      now: Date.now,
      log,
    }),
    records: state.records,
    rebuild: null,
    takeNotice: null,
    noticeStale: () => undefined,
    checks: [],
    openapi: null,
    metrics,
    log,
    now,
    ending: ending.signal,
    ...options.parts,
  };
  const server = await listen(createApp(world).callback(), { host: '127.0.0.1', port: 0 });
  const owner = new Client({ connectionString: database.writeUrl, application_name: 'test owner' });
  await owner.connect();
  // The exact tier: counters would move seconds after a table was made.
  await installTriggers(owner, { readRole: 'datastore_default', lockSeconds: 5 });
  return {
    url: `http://127.0.0.1:${server.port}`,
    port: server.port,
    database,
    ckan,
    store,
    state,
    world,
    tables,
    log: lines,
    owner,
    createTable: async (id, rows, rights = {}) => {
      await owner.query(
        `CREATE TABLE "${id}" (_id serial PRIMARY KEY, _full_text tsvector, n int4, text text)`,
      );
      await owner.query(
        `INSERT INTO "${id}" (n, text) SELECT i, 'row ' || i || ' ' || repeat(md5(i::text), 8) FROM generate_series(1, ${rows}) i`,
      );
      await attachMissing(owner, [asResourceId(id)], 5);
      tables.set(id, { private: false, state: 'active', ...rights });
    },
    publish: async (id, { exposed = false, public: isPublic = true, force = false } = {}) => {
      const publishing = {
        pool: readPool,
        store,
        fence: state.fence,
        profile: () => profile,
        variants: publishedVariants,
        visibility: async () => ({ public: isPublic, exposed }),
        now: () => new Date(),
        lockSeconds: 5,
        stallSeconds: 30,
        maxSeconds: 300,
        retireSeconds: 600,
      };
      const signal = new AbortController().signal;
      const outcome = await publish(publishing, asResourceId(id), {
        force,
        signal,
        onProgress: () => undefined,
      });
      if (outcome.kind !== 'published' && outcome.kind !== 'unchanged')
        throw new Error(`not published: ${outcome.kind}`);
      await state.records.learned(asResourceId(id), 'switched', outcome.manifest);
    },
    killLive: () =>
      asAdmin(database.adminUrl, async (admin) => {
        await admin.query(
          `SELECT pg_terminate_backend(pid) FROM pg_stat_activity
           WHERE application_name = 'test live' AND datname = current_database()`,
        );
      }),
    close: async () => {
      await server.drain(0, () => ending.abort());
      client.close();
      await ckan.stop();
      await owner.end();
      await Promise.all([readPool.end(), livePool.end(), state.close(), store.close()]);
      await database.drop();
      await rm(directory, { recursive: true, force: true });
    },
  };
}

function linesInto(lines: string[]): Writable {
  return new Writable({
    write: (chunk: Buffer, _encoding, done) => {
      lines.push(
        ...chunk
          .toString()
          .split('\n')
          .filter((line) => line !== ''),
      );
      done();
    },
  });
}

/** GET without following redirects; the body as text. */
export async function ask(
  url: string,
  options: { readonly method?: string; readonly headers?: Readonly<Record<string, string>> } = {},
): Promise<{ readonly status: number; readonly headers: Headers; readonly text: string }> {
  const response = await fetch(url, { redirect: 'manual', ...options });
  return { status: response.status, headers: response.headers, text: await response.text() };
}
