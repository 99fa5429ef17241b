/** The sweep over many tables of which none has changed: wall time, and what it costs the database. */
import pg from 'pg';
import { installTriggers, removeTriggers } from '../src/change/journal.ts';
import { sweep, type SweepDeps } from '../src/change/sweep.ts';
import { ckanProfile } from '../src/ckan/profile.ts';
import { publishedVariants } from '../src/config/setting.ts';
import { settings } from '../src/config/settings.ts';
import { createLog } from '../src/log.ts';
import { allTables, createStabilityTracker, revisionToken } from '../src/postgres/revision.ts';
import { openState, type State } from '../src/state/state.ts';
import { cpuByProgram, cpuSpent } from './cpu.ts';
import { spread } from './measure.ts';
import type { Line } from './report.ts';
import type { Bench } from './world.ts';

const profile = ckanProfile('2.12');
const published = publishedVariants.parse(settings.DUMPER_FORMATS.default);

export async function sweeps(bench: Bench, tables: number, runs: number): Promise<Line[]> {
  await createTables(bench.owner, tables);
  await installTriggers(bench.owner, { readRole: 'datastore_default', lockSeconds: 5 });
  const read = new pg.Pool({ connectionString: bench.database.readUrl, max: 1 });
  const other = await bench.another();
  const state = await openState({ url: other.stateUrl, onIdleError: () => undefined });
  try {
    await remember(state, read);
    return [lineOf(await measured(read, state, runs), tables)];
  } finally {
    await Promise.all([read.end(), state.close()]);
    await removeTriggers(bench.owner, 5);
    await other.drop();
  }
}

interface Cost {
  readonly wallSeconds: number;
  readonly databaseSeconds: number;
}

async function measured(read: pg.Pool, state: State, runs: number): Promise<Cost[]> {
  const world: SweepDeps = {
    read,
    write: null,
    store: {
      list: async function* list() {},
      head: async () => null,
      readSmall: async () => null,
      abortUnfinished: async () => 0,
    },
    publications: state.publications,
    profile: () => profile,
    variants: published,
    stability: createStabilityTracker(),
    enqueue: async (notices) => {
      if (notices.length > 0) throw new Error(`${notices.length} tables were found changed`);
    },
    now: () => new Date(),
    log: createLog('silent'),
    lockSeconds: 5,
    retireSeconds: 300,
    maxSeconds: 3600,
  };
  const costs: Cost[] = [];
  for (let run = 0; run <= runs; run += 1) {
    const before = cpuByProgram();
    const started = performance.now();
    await sweep(world, { manyGone: false }, { listStore: false });
    const wallSeconds = (performance.now() - started) / 1000;
    const databaseSeconds = cpuSpent(before, cpuByProgram())['postgres'] ?? 0;
    if (run > 0) costs.push({ wallSeconds, databaseSeconds });
  }
  return costs;
}

/** As if each table had been published as it is now. */
async function remember(state: State, read: pg.Pool): Promise<void> {
  const tables = [...(await allTables(read)).values()];
  const tokens = tables.map((table) => revisionToken(table, profile));
  await state.publications.recordChanges(tables, { quietSeconds: 0, hotTableFactor: 0 });
  await state.pool.query(
    `UPDATE dumper.publication SET token = given.token, life = 'published', variants = $3
     FROM unnest($1::text[], $2::text[]) AS given(id, token) WHERE publication.id = given.id`,
    [tables.map(({ id }) => id), tokens, published.toSorted().join(',')],
  );
}

function lineOf(costs: readonly Cost[], tables: number): Line {
  const database = spread(costs.map(({ databaseSeconds }) => databaseSeconds));
  const wall = spread(costs.map(({ wallSeconds }) => wallSeconds));
  return {
    what: `sweep of ${tables.toLocaleString('en')} unchanged tables: database CPU; wall`,
    value: `${database.median.toFixed(2)} s; ${wall.median.toFixed(2)} s`,
    goal: tables === 10_000 ? '1 s; 3 s, aim 0.3 s; 1 s' : '',
    details: `${costs.length} sweeps, ${database.least.toFixed(2)}–${database.most.toFixed(2)} s; ${wall.least.toFixed(2)}–${wall.most.toFixed(2)} s`,
  };
}

const tablesAtOnce = 200;

async function createTables(owner: pg.Client, tables: number): Promise<void> {
  const columns = Array.from({ length: 10 }, (_, column) => `c${column} text`).join(', ');
  for (let first = 0; first < tables; first += tablesAtOnce) {
    const batch = Array.from({ length: Math.min(tablesAtOnce, tables - first) }, (_, turn) => {
      const id = `00000000-0000-4000-8000-${String(first + turn).padStart(12, '0')}`;
      return `CREATE TABLE "${id}" (_id serial PRIMARY KEY, _full_text tsvector, ${columns});
        COMMENT ON COLUMN "${id}".c0 IS '{"info": {"label": "A column"}}'; INSERT INTO "${id}" (c0) VALUES ('x')`;
    });
    await owner.query(batch.join(';'));
  }
}
