/**
 * A table's dumps driven by hand, one event at a time, on real Postgres: what the model-based test commands. A crash is
 * a publication that ends at a named step without another word, its fence still held.
 */
import { createPool } from '../../src/postgres.ts';
import { installTriggers } from '../../src/change/journal.ts';
import { attempt, type AttemptWorld } from '../../src/change/attempt.ts';
import { sweep } from '../../src/change/sweep.ts';
import { publish, type Step } from '../../src/dump/publish.ts';
import { retire, withdraw } from '../../src/dump/retire.ts';
import { createLog } from '../../src/log.ts';
import { createRestMemory, revisionToken, tableState } from '../../src/revision.ts';
import { openState, type State } from '../../src/state.ts';
import { asResourceId, type ResourceId } from '../../src/table.ts';
import { openPublishing, plainly, type Publishing } from '../dump/publishing.ts';
import { asAdmin } from '../world/postgres.ts';
import { blobBytes, keysIn, manifestOf, namedKeys, readRows } from './audit.ts';

export const id = asResourceId('t-life');
const variants = ['csv', 'json'] as const;
const pace = { quietSeconds: 0, hotTableFactor: 0 };
const retireSeconds = 600;

export interface TableLife {
  /** Run SQL as the owner of the table. */
  sql(text: string): Promise<void>;
  notice(): Promise<void>;
  sweep(listStore: boolean): Promise<void>;
  /** Work on what is queued, if anything is. With a step: crash there. */
  work(crashAt?: Step): Promise<void>;
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

export async function openTableLife(): Promise<TableLife> {
  const publishing = await openPublishing();
  const { database, store } = publishing;
  await asAdmin(database.writeUrl, (owner) =>
    installTriggers(owner, { readRole: 'datastore_default', lockSeconds: 5 }),
  );
  const write = createPool({
    url: database.writeUrl,
    applicationName: 'dumper-test-life',
    size: 1,
    onIdleError: () => undefined,
  });
  const queued = new Set<ResourceId>();
  let state = publishing.state;
  let offset = 0;
  let generation = 0;
  const others: State[] = [];
  const now = (): Date => new Date(Date.now() + offset);
  const worldOf = (onStep: (step: Step) => void) =>
    publishing.world({
      fence: state.fence,
      variants,
      now,
      retireSeconds,
      onStep: (_id, step) => onStep(step),
    });
  const runSweep = async (listStore: boolean): Promise<number> => {
    const before = queued.size;
    const profile = publishing.world().profile;
    const common = { read: publishing.pool, write, store, records: state.records, profile, variants, now };
    await sweep(
      {
        ...common,
        rest: createRestMemory(),
        look: async (notices) => {
          if (notices.length > 0) await state.records.noticed(notices, pace, false);
          for (const notice of notices) queued.add(notice.id);
        },
        log: createLog('silent'),
        lockSeconds: 5,
        retireSeconds,
        maxSeconds: 600,
      },
      { manyGone: false },
      { listStore },
    );
    return queued.size - before;
  };
  const work = async (crashAt?: Step): Promise<void> => {
    if (!queued.delete(id)) return;
    const world = worldOf((step) => {
      if (step === crashAt) throw new Crash();
    });
    if (crashAt === undefined) {
      await attempt(attemptWorld(publishing, state, world), id, plainly());
      return;
    }
    const crashed = await publish(world, id, plainly()).then(
      () => false,
      (error: unknown) => {
        if (!(error instanceof Crash)) throw error;
        return true;
      },
    );
    // the process is gone: its lease runs out, another takes up the job
    await state.pool.query(`UPDATE dumper.publication SET beat_at = now() - interval '1 hour'`);
    state = await openState({ url: database.stateUrl, onIdleError: () => undefined });
    others.push(state);
    if (crashed) queued.add(id);
  };
  const check = async (): Promise<void> => {
    const manifest = await manifestOf(store, id);
    if (manifest === null) return;
    if (manifest.generation < generation)
      throw new Error(`generation ${manifest.generation} after ${generation}`);
    generation = manifest.generation;
    const table = await tableState(publishing.pool, id);
    if (table === null || manifest.token !== revisionToken(table, publishing.world().profile())) return;
    const { rows } = await publishing.pool.query<{ a: string }>(`SELECT a FROM public."${id}" ORDER BY _id`);
    const published = readRows('csv', await blobBytes(store, manifest.blobs.csv?.key ?? ''));
    const [known, seen] = [rows.map(({ a }) => a).join(), published.map((row) => row[1]).join()];
    if (known !== seen) throw new Error(`called fresh: ${seen}; the table: ${known}`);
  };
  return {
    sql: async (text) => void (await write.query(text)),
    notice: async () => {
      await state.records.noticed([{ id }], pace, false);
      queued.add(id);
    },
    sweep: async (listStore) => void (await runSweep(listStore)),
    work,
    loseRecords: async () => void (await state.pool.query('DELETE FROM dumper.publication')),
    jump: (seconds) => {
      offset += seconds * 1000;
    },
    check,
    converge: async () => {
      // beyond every URL's life and every upload's
      offset += 86_400_000;
      for (let turn = 0; turn < 4; turn += 1) {
        await runSweep(true);
        await work();
      }
      await check();
      const table = await tableState(publishing.pool, id);
      const manifest = await manifestOf(store, id);
      const fresh = table === null ? null : revisionToken(table, publishing.world().profile());
      if ((manifest?.token ?? null) !== fresh) throw new Error('it does not converge');
      const [left, named] = [await keysIn(store), await namedKeys(store, [id])];
      if (left.join() !== named.join())
        throw new Error(`litter: ${left.join(', ')}; named: ${named.join(', ')}`);
    },
    close: async () => {
      await write.end();
      await Promise.all(others.map((other) => other.close()));
      await publishing.close();
    },
  };
}

function attemptWorld(
  { store }: Publishing,
  state: State,
  world: Parameters<typeof publish>[0],
): AttemptWorld {
  return {
    fence: state.fence,
    records: state.records,
    publish: async (table, request) => {
      const outcome = await publish(world, table, { ...request });
      if (outcome.kind === 'published' || outcome.kind === 'unchanged')
        await retire(store, outcome.manifest, { now: world.now(), retireSeconds });
      return outcome;
    },
    withdraw: (table) => withdraw(store, state.fence, table),
    pace,
    smallTableBytes: 1,
    sizeOf: async () => 0,
  };
}
