/** A whole answering service over real parts: Postgres, a small CKAN, a directory store, HTTP on loopback. */
import type { Client } from 'pg';
import { listenHttp } from '../../src/app/http-server.ts';
import type { BlobStore } from '../../src/blob-store/blob-store.ts';
import { attachMissing } from '../../src/change/journal.ts';
import { publish } from '../../src/publish/publish.ts';
import { createLog } from '../../src/log.ts';
import { createMetrics } from '../../src/metrics.ts';
import { createStabilityTracker } from '../../src/postgres/revision.ts';
import { createApp } from '../../src/serve/app.ts';
import { createManifestCache } from '../../src/serve/manifest-cache.ts';
import { createPermission } from '../../src/serve/permission.ts';
import { createResourceNames } from '../../src/serve/resource-name.ts';
import { createSemaphore } from '../../src/async/semaphore.ts';
import type { ServeDeps } from '../../src/serve/context.ts';
import type { State } from '../../src/state/state.ts';
import { asResourceId } from '../../src/postgres/table.ts';
import { noTraces } from '../../src/traces.ts';
import { plainly, publishWorld } from '../publish/publishing.ts';
import type { FakeCkan, TableRights } from '../world/fake-ckan.ts';
import { linesInto } from '../world/log-lines.ts';
import { asAdmin, type Database } from '../world/postgres.ts';
import { openNeighbours, type Neighbours, type ServingOptions } from './neighbours.ts';

export interface Serving {
  readonly url: string;
  readonly port: number;
  readonly database: Database;
  readonly ckan: FakeCkan;
  readonly store: BlobStore;
  readonly state: State;
  readonly world: ServeDeps;
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
  const around = await openNeighbours(options);
  const { database, ckan, store, state, tables } = around;
  const ending = new AbortController();
  const lines: string[] = [];
  const world: ServeDeps = { ...worldOf(around, lines, ending.signal), ...options.parts };
  const server = await listenHttp(createApp(world), { host: '127.0.0.1', port: 0 });
  const owner = await around.installation.connect();
  return {
    url: `http://127.0.0.1:${server.port}`,
    port: server.port,
    database,
    ckan,
    store,
    state,
    world,
    tables,
    owner,
    log: lines,
    createTable: async (id, rows, rights = {}) => {
      await owner.query(
        `CREATE TABLE "${id}" (_id serial PRIMARY KEY, _full_text tsvector, n int4, text text)`,
      );
      await owner.query(
        `INSERT INTO "${id}" (n, text)
         SELECT i, 'row ' || i || ' ' || repeat(md5(i::text), 8) FROM generate_series(1, ${rows}) i`,
      );
      await attachMissing(owner, [asResourceId(id)], 5);
      tables.set(id, { private: false, state: 'active', ...rights });
    },
    publish: (id, visibility) => publishTable(around, id, visibility),
    killLive: () =>
      asAdmin(database.adminUrl, async (admin) => {
        await admin.query(
          `SELECT pg_terminate_backend(pid) FROM pg_stat_activity
           WHERE application_name = 'test live' AND datname = current_database()`,
        );
      }),
    close: async () => {
      await server.drain(0, () => ending.abort());
      await around.installation.end();
    },
  };
}

function worldOf(around: Neighbours, lines: string[], ending: AbortSignal): ServeDeps {
  const { config, profile, readPool, livePool, blobSecret, state } = around;
  const log = createLog('debug', linesInto(lines));
  const now = (): Date => new Date();
  const store = around.options.storeSeen?.(around.store) ?? around.store;
  return {
    config,
    readPool,
    livePool,
    blobSecret,
    store,
    log,
    now,
    ending,
    profile: () => profile,
    slots: createSemaphore(config.DUMPER_LIVE_SLOTS),
    manifests: createManifestCache({
      store,
      stability: createStabilityTracker(),
      marginSeconds: config.DUMPER_COUNTER_MARGIN_SECONDS,
      retireMarginSeconds: config.DUMPER_RETIRE_MARGIN_SECONDS,
      now,
      log,
    }),
    permission: createPermission({
      ckan: around.client,
      decisionSeconds: config.DUMPER_DECISION_CACHE_SECONDS,
      publicTables: ['_table_metadata'],
      shared: null,
      now: Date.now,
      log,
    }),
    resourceNames: createResourceNames(around.client, Date.now),
    publications: state.publications,
    rebuild: null,
    webhook: null,
    enqueueStale: () => undefined,
    checks: [],
    openapi: null,
    metrics: createMetrics(),
    traces: noTraces,
  };
}

async function publishTable(
  { readPool, store, state, profile }: Neighbours,
  id: string,
  options: { exposed?: boolean; public?: boolean; force?: boolean } = {},
): Promise<void> {
  const world = publishWorld({
    pool: readPool,
    store,
    fence: state.fence,
    profile: () => profile,
    visibility: async () => ({ public: options.public ?? true, underPublicPrefix: options.exposed ?? false }),
  });
  const outcome = await publish(world, asResourceId(id), plainly({ force: options.force ?? false }));
  if (outcome.kind !== 'published' && outcome.kind !== 'unchanged')
    throw new Error(`not published: ${outcome.kind}`);
  await state.publications.recordPublished(asResourceId(id), 'published', outcome.manifest);
}

/** GET without following redirects; the body as text. */
export async function ask(
  url: string,
  options: { readonly method?: string; readonly headers?: Readonly<Record<string, string>> } = {},
): Promise<{ readonly status: number; readonly headers: Headers; readonly text: string }> {
  const response = await fetch(url, { redirect: 'manual', ...options });
  return { status: response.status, headers: response.headers, text: await response.text() };
}
