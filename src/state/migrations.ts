/**
 * The state database's tables, in a schema of their own; the queue keeps its jobs in another schema beside it.
 *
 * Each step runs once, in order, in a transaction that one process at a time enters: processes that start during a rolling
 * upgrade wait for one another. Steps only add, so that an older version can go on beside a newer one.
 */
import type pg from 'pg';
import { inTransaction } from '../postgres/pool.ts';

const steps: readonly string[] = [
  `CREATE TABLE dumper.publication (
     id text PRIMARY KEY,
     life text NOT NULL DEFAULT 'absent',
     generation bigint NOT NULL DEFAULT 0,
     holder uuid,
     beat_at timestamptz,
     began_at timestamptz,
     rows_done bigint NOT NULL DEFAULT 0,
     noticed_at timestamptz,
     asked_since timestamptz,
     rebuild_at timestamptz,
     attempts integer NOT NULL DEFAULT 0,
     last_error text,
     last_error_at timestamptz,
     revision text,
     token text,
     tier text,
     rows bigint,
     blob_bytes bigint,
     table_bytes bigint,
     published_at timestamptz,
     switched_at timestamptz,
     build_seconds double precision,
     published_generation bigint NOT NULL DEFAULT 0,
     listed text,
     variants text,
     public boolean
   ) WITH (fillfactor = 70);
   CREATE TABLE dumper.turn (
     name text PRIMARY KEY,
     occasion timestamptz NOT NULL,
     holder uuid,
     beat_at timestamptz,
     ended_at timestamptz
   )`,
  'ALTER TABLE dumper.publication ADD COLUMN stale_since timestamptz',
];

/** Any fixed number: one migration at a time in this database. */
const migrationLock = 5_170_311;

export async function migrate(pool: pg.Pool): Promise<void> {
  await inTransaction(pool, async (client) => {
    await client.query('SELECT pg_advisory_xact_lock($1)', [migrationLock]);
    const { rowCount } = await client.query(`SELECT FROM pg_namespace WHERE nspname = 'dumper'`);
    if (rowCount === 0) await client.query('CREATE SCHEMA dumper');
    await client.query(`CREATE TABLE IF NOT EXISTS dumper.migration (
      step integer PRIMARY KEY, applied_at timestamptz NOT NULL DEFAULT now())`);
    const { rows } = await client.query<{ done: number }>(
      'SELECT coalesce(max(step), 0) AS done FROM dumper.migration',
    );
    for (let step = rows[0]?.done ?? 0; step < steps.length; step += 1) {
      await client.query(steps[step] ?? '');
      await client.query('INSERT INTO dumper.migration (step) VALUES ($1)', [step + 1]);
    }
  });
}
