/**
 * What tokens cost: one look-up (the hot path of a redirect), and the state of every table at once (the sweep).
 *
 * `node bench/tokens.ts [tables]`: starts a Postgres of its own, makes the tables (12 columns each, half of them
 * commented), installs the journal, prints medians.
 */
import { Client } from 'pg';
import { fold, installTriggers } from '../src/change/journal.ts';
import { allTables, lookUpTable } from '../src/postgres/revision.ts';
import { freshDatabase } from '../test/world/postgres.ts';
import { startPostgres } from '../test/world/postgres-server.ts';

const tables = Number(process.argv[2] ?? 10_000);
const server = await startPostgres();
const database = await freshDatabase({ server: server.adminUrl });
const write = new Client({ connectionString: database.writeUrl });
const read = new Client({ connectionString: database.readUrl });
const admin = new Client({ connectionString: database.adminUrl });
await Promise.all([write.connect(), read.connect(), admin.connect()]);

function median(values: number[]): number {
  return values.toSorted((a, b) => a - b)[Math.floor(values.length / 2)] ?? NaN;
}

async function timed(times: number, work: (turn: number) => Promise<unknown>): Promise<number> {
  const took: number[] = [];
  for (let turn = 0; turn < times; turn += 1) {
    const start = performance.now();
    await work(turn);
    took.push(performance.now() - start);
  }
  return median(took);
}

function idOf(turn: number): string {
  return `00000000-0000-4000-8000-${String(turn % tables).padStart(12, '0')}`;
}

try {
  for (let first = 0; first < tables; first += 200) {
    const batch = Array.from({ length: Math.min(200, tables - first) }, (_, turn) => {
      const id = idOf(first + turn);
      const columns = Array.from({ length: 10 }, (_, column) => `c${column} text`).join(', ');
      const comments = Array.from(
        { length: 5 },
        (_, column) => `COMMENT ON COLUMN "${id}".c${column} IS '{"_info": {"label": "Column ${column}"}}'`,
      );
      return `CREATE TABLE "${id}" (_id serial PRIMARY KEY, _full_text tsvector, ${columns}); ${comments.join(';')};
        INSERT INTO "${id}" (c0) VALUES ('x')`;
    });
    await write.query(batch.join(';'));
  }
  for (const catalog of ['class', 'attribute', 'description', 'trigger'])
    await admin.query(`ANALYZE pg_${catalog}`);
  const readOnly = await timed(5, () => allTables(read));
  const readOnlyOne = await timed(2000, (turn) => lookUpTable(read, idOf(turn)));
  const start = performance.now();
  await installTriggers(write, { readRole: 'datastore_default', lockSeconds: 5 });
  const install = performance.now() - start;
  for (let turn = 0; turn < tables; turn += 1)
    await write.query(`INSERT INTO "${idOf(turn)}" (c0) VALUES ('y')`);
  for (const catalog of ['class', 'attribute', 'description', 'trigger'])
    await admin.query(`ANALYZE pg_${catalog}`);
  const exact = await timed(5, () => allTables(read));
  const exactOne = await timed(2000, (turn) => lookUpTable(read, idOf(turn)));
  const folding = await timed(1, () => fold(read));
  console.log(
    JSON.stringify({
      tables,
      allTablesMs: { readOnly, exact },
      lookUpMs: { readOnly: readOnlyOne, exact: exactOne },
      installMs: install,
      foldMs: folding,
    }),
  );
} finally {
  await Promise.all([write.end(), read.end(), admin.end()]);
  await database.drop();
  await server.stop();
}
