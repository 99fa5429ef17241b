/**
 * A table's dumps driven by hand, one event at a time, on real Postgres: what the model-based test commands. A crash is
 * a publication that ends at a named step without another word, its fence still held.
 */
import type { Pool } from 'pg';
import { createPool } from '../../src/postgres/pool.ts';
import { installTriggers } from '../../src/change/journal.ts';
import { sweep } from '../../src/change/sweep.ts';
import { publish, type PublishDeps, type PublishStep } from '../../src/publish/publish.ts';
import { publishAndRecord, type Publisher } from '../../src/publish/publisher.ts';
import { createLog } from '../../src/log.ts';
import { createMetrics } from '../../src/metrics.ts';
import { createStabilityTracker, revisionToken, tableState } from '../../src/postgres/revision.ts';
import { openState, type State } from '../../src/state/state.ts';
import type { TableChange } from '../../src/state/publications.ts';
import { asResourceId, type ResourceId } from '../../src/postgres/table.ts';
import { openPublishing, plainly, type Publishing } from '../publish/publishing.ts';
import { asAdmin } from '../world/postgres.ts';
import { readRows } from '../dump/oracle-formatter.ts';
import { blobBytes, keysIn, manifestOf, namedKeys } from './audit.ts';

export const id = asResourceId('t-life');
const variants = ['csv', 'json'] as const;
const timing = { quietSeconds: 0, hotTableFactor: 0 };
const retireSeconds = 600;

export interface TableLife {
  /** Run SQL as the owner of the table. */
  sql(text: string): Promise<void>;
  notice(): Promise<void>;
  sweep(listStore: boolean): Promise<void>;
  /** Work on what is queued, if anything is. With a step: crash there. */
  work(crashAt?: PublishStep): Promise<void>;
  loseRecords(): Promise<void>;
  /** The clock of publications and sweeps goes on, or back, by so much. */
  jump(seconds: number): void;
  /** Throws where what is published is called fresh and is not the table, or its generation went back. */
  check(): Promise<void>;
  /** Sweep and work until nothing is left to do; then table and store agree wholly. */
  converge(): Promise<void>;
  close(): Promise<void>;
}

class Crash extends Error {}

/** What a history is made of. */
interface Life {
  readonly publishing: Publishing;
  readonly write: Pool;
  readonly queued: Set<ResourceId>;
  readonly others: State[];
  /** The process of the moment. */
  state: State;
  offset: number;
  generation: number;
}

export async function openTableLife(): Promise<TableLife> {
  const publishing = await openPublishing();
  const { database } = publishing;
  await asAdmin(database.writeUrl, (owner) =>
    installTriggers(owner, { readRole: 'datastore_default', lockSeconds: 5 }),
  );
  const write = createPool({
    url: database.writeUrl,
    applicationName: 'dumper-test-life',
    size: 1,
    onIdleError: () => undefined,
  });
  const { state } = publishing;
  const life: Life = { publishing, write, queued: new Set(), others: [], state, offset: 0, generation: 0 };
  return {
    sql: async (text) => void (await write.query(text)),
    notice: () => look(life, [{ id }]),
    sweep: (listStore) => runSweep(life, listStore),
    work: (crashAt) => (crashAt === undefined ? work(life) : crash(life, crashAt)),
    loseRecords: async () => void (await life.state.pool.query('DELETE FROM dumper.publication')),
    jump: (seconds) => {
      life.offset += seconds * 1000;
    },
    check: () => check(life),
    converge: () => converge(life),
    close: async () => {
      await write.end();
      await Promise.all(life.others.map((other) => other.close()));
      await publishing.close();
    },
  };
}

async function look({ state, queued }: Life, notices: readonly TableChange[]): Promise<void> {
  await state.publications.recordChanges(notices, timing);
  for (const notice of notices) queued.add(notice.id);
}

const nowOf = (life: Life) => (): Date => new Date(Date.now() + life.offset);

function worldOf(life: Life, onStep: (step: PublishStep) => void): PublishDeps {
  const now = nowOf(life);
  const { fence } = life.state;
  return life.publishing.world({ fence, variants, now, retireSeconds, onStep: (_id, step) => onStep(step) });
}

async function runSweep(life: Life, listStore: boolean): Promise<void> {
  const { publishing, write, state } = life;
  const { profile } = publishing.world();
  const world = {
    read: publishing.pool,
    write,
    store: publishing.store,
    publications: state.publications,
    profile,
    variants,
    now: nowOf(life),
    stability: createStabilityTracker(),
    enqueue: (notices: readonly TableChange[]) => look(life, notices),
    log: createLog('silent'),
    lockSeconds: 5,
    retireSeconds,
    maxSeconds: 600,
  };
  await sweep(world, { manyGone: false }, { listStore });
}

async function work(life: Life): Promise<void> {
  if (!life.queued.delete(id)) return;
  await publishAndRecord(publisherOf(life), id, plainly());
}

async function crash(life: Life, at: PublishStep): Promise<void> {
  if (!life.queued.delete(id)) return;
  const world = worldOf(life, (step) => {
    if (step === at) throw new Crash();
  });
  const crashed = await publish(world, id, plainly()).then(
    () => false,
    (error: unknown) => {
      if (!(error instanceof Crash)) throw error;
      return true;
    },
  );
  // the process is gone: its lease runs out, another takes up the job
  await life.state.pool.query(`UPDATE dumper.publication SET beat_at = now() - interval '1 hour'`);
  const { stateUrl } = life.publishing.database;
  life.state = await openState({ url: stateUrl, onIdleError: () => undefined });
  life.others.push(life.state);
  if (crashed) life.queued.add(id);
}

/** The token of the table as it is; null where there is none. */
async function tokenNow({ publishing }: Life): Promise<string | null> {
  const table = await tableState(publishing.pool, id);
  return table === null ? null : revisionToken(table, publishing.world().profile());
}

async function check(life: Life): Promise<void> {
  const { pool, store } = life.publishing;
  const manifest = await manifestOf(store, id);
  if (manifest === null) return;
  if (manifest.generation < life.generation)
    throw new Error(`generation ${manifest.generation} after ${life.generation}`);
  life.generation = manifest.generation;
  if (manifest.token !== (await tokenNow(life))) return;
  const { rows } = await pool.query<{ a: string }>(`SELECT a FROM public."${id}" ORDER BY _id`);
  const published = readRows('csv', await blobBytes(store, manifest.blobs.csv?.key ?? ''));
  const [known, seen] = [rows.map(({ a }) => a).join(), published.map((row) => row[1]).join()];
  if (known !== seen) throw new Error(`called fresh: ${seen}; the table: ${known}`);
}

async function converge(life: Life): Promise<void> {
  const { store } = life.publishing;
  // beyond every URL's life and every upload's
  life.offset += 86_400_000;
  for (let turn = 0; turn < 4; turn += 1) {
    await runSweep(life, true);
    await work(life);
  }
  await check(life);
  const manifest = await manifestOf(store, id);
  if ((manifest?.token ?? null) !== (await tokenNow(life))) throw new Error('it does not converge');
  const [left, named] = [await keysIn(store), await namedKeys(store, [id])];
  if (left.join() !== named.join())
    throw new Error(`orphans: ${left.join(', ')}; named: ${named.join(', ')}`);
}

const metrics = createMetrics();

function publisherOf(life: Life): Publisher {
  const world = worldOf(life, () => undefined);
  const { fence, publications } = life.state;
  return {
    ...world,
    fence,
    profile: async () => world.profile(),
    isLeader: async () => true,
    traced: { publish: (work) => work(), unpublish: (work) => work() },
    publications,
    taskStatus: null,
    metrics,
    log: createLog('silent'),
  };
}
