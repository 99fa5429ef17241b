/**
 * Any order of changes, notices, sweeps, crashes, lost records and jumps of the clock: what is called fresh is the table
 * at every moment, generations only grow, and it all ends with published = table and no orphaned blobs (P2, P4, P5, P7).
 */
import fc from 'fast-check';
import { expect, test, vi } from 'vitest';
import { recordCount } from '../world/counts.ts';
import { crashSteps } from './kills.ts';
import { id, openTableLife, type TableLife } from './table-life.ts';

// random lives of a table, each to its end
vi.setConfig({ testTimeout: 300_000 });

/** All that the model knows: whether there is a table. */
interface Model {
  exists: boolean;
}

type Command = fc.AsyncCommand<Model, TableLife>;

let ran = 0;

function command(
  name: string,
  run: (life: TableLife) => Promise<void> | void,
  parts: { readonly needs?: boolean; readonly leaves?: boolean } = {},
): Command {
  return {
    check: (model) => parts.needs === undefined || model.exists === parts.needs,
    run: async (model, life) => {
      if (parts.leaves !== undefined) model.exists = parts.leaves;
      await run(life);
      await life.check();
      ran += 1;
    },
    toString: () => name,
  };
}

const table = `public."${id}"`;
const create = `CREATE TABLE ${table} (_id serial PRIMARY KEY, a text); INSERT INTO ${table} (a) SELECT 'new ' || random() FROM generate_series(1, 5)`;
const change = (name: string, sql: string): fc.Arbitrary<Command> =>
  fc.constant(command(name, (life) => life.sql(sql), { needs: true }));

const changes = [
  change('insert', `INSERT INTO ${table} (a) VALUES ('inserted ' || random())`),
  change('update', `UPDATE ${table} SET a = 'updated ' || random() WHERE _id = 1`),
  change('truncate', `TRUNCATE ${table} RESTART IDENTITY`),
  change(
    'reload',
    `TRUNCATE ${table} RESTART IDENTITY; INSERT INTO ${table} (a) VALUES ('again ' || random())`,
  ),
  change('drop and create', `DROP TABLE ${table}; ${create}`),
  change('alter', `ALTER TABLE ${table} ALTER a TYPE varchar; ALTER TABLE ${table} ALTER a TYPE text`),
  change('comment', `COMMENT ON COLUMN ${table}.a IS 'comment'`),
  fc.constant(command('drop', (life) => life.sql(`DROP TABLE ${table}`), { needs: true, leaves: false })),
  fc.constant(command('create', (life) => life.sql(create), { needs: false, leaves: true })),
];
const work = fc.constant(command('work', (life) => life.work()));
const events = [
  fc.constant(command('notice', (life) => life.notice())),
  fc.boolean().map((all) => command(all ? 'sweep all' : 'sweep', (life) => life.sweep(all))),
  work,
  work,
  fc.constantFrom(...crashSteps).map((step) => command(`crash at ${step}`, (life) => life.work(step))),
  fc.constant(command('records lost', (life) => life.loseRecords())),
  fc
    .integer({ min: -7200, max: 7200 })
    .map((seconds) => command(`jump ${seconds} s`, (life) => life.jump(seconds))),
];

test('P4 P5 P7 any order of events ends with published = table, nothing stale called fresh meanwhile', async () => {
  let runs = 0;
  await fc.assert(
    fc.asyncProperty(
      fc.commands([...changes, ...events, ...events], { maxCommands: 40, size: 'max' }),
      async (commands) => {
        const life = await openTableLife();
        try {
          await fc.asyncModelRun(() => ({ model: { exists: false }, real: life }), commands);
          await life.converge();
          runs += 1;
        } finally {
          await life.close();
        }
      },
    ),
    { numRuns: 15, endOnFailure: true, seed: 20_261_121 },
  );
  expect(runs).toBe(15);
  recordCount('P5', 'random histories of a table that converged', runs);
  recordCount('P5', 'events in them', ran);
});
