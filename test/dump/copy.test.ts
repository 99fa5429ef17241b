/** The COPY stream: whole or an error, never a short success; its backend freed whatever ends it (P1, P12, P13). */
import type { Socket } from 'node:net';
import { setImmediate as nextTurn } from 'node:timers/promises';
import { Pool } from 'pg';
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, test } from 'vitest';
import { ckanProfile } from '../../src/ckan/profile.ts';
import { copyOut, type CopyOptions } from '../../src/dump/copy.ts';
import { createFormatter } from '../../src/dump/format/formatter.ts';
import { DumperError } from '../../src/errors.ts';
import type { PoolClient } from '../../src/postgres/pool.ts';
import { sql, type Sql } from '../../src/postgres/table.ts';
import { eventually } from '../world/eventually.ts';
import { startFaultProxy, type FaultProxy } from '../world/fault-proxy.ts';
import { asAdmin, freshDatabase, type Database } from '../world/postgres.ts';

const rowsAsked = 40_000;
const copy = series(sql`repeat('x', 20)`);
/** More than all buffers on the way hold: its backend writes until it is read to the end, or freed. */
const endless = series(sql`repeat('x', 20000)`);

/** A COPY of `rowsAsked` rows of two columns. */
function series(cell: Sql): Sql {
  return sql`COPY (SELECT n, ${cell} FROM generate_series(1, ${rowsAsked}) n) TO STDOUT (FORMAT csv)`;
}

let database: Database;
let proxy: FaultProxy;
let pool: Pool;
let client: PoolClient;

beforeAll(async () => {
  database = await freshDatabase();
  const { hostname, port } = new URL(database.readUrl);
  proxy = await startFaultProxy({ host: hostname, port: Number(port) });
  await asAdmin(database.writeUrl, (owner) =>
    owner.query(`CREATE FUNCTION public.chatter(n int) RETURNS int LANGUAGE plpgsql AS $$
      BEGIN
        RAISE NOTICE 'row % of many', n;
        PERFORM set_config('application_name', 'copy-test', false), pg_notify('news', n::text);
        RETURN n;
      END $$`),
  );
});

afterAll(async () => {
  await proxy.stop();
  await database.drop();
});

beforeEach(async () => {
  proxy.pass();
  pool = new Pool({
    connectionString: proxy.through(database.readUrl),
    max: 1,
    application_name: 'copy-test',
  });
  client = await pool.connect();
});

afterEach(async () => {
  client.release(true);
  await pool.end();
});

/** Run the statement through a formatter of two columns; the rows that Postgres and the formatter counted. */
async function run(
  statement: Sql,
  options: Partial<CopyOptions> & { onChunk?: (bytes: number) => void } = {},
): Promise<{ rows: number; written: number }> {
  const columns = ['n', 'cell'].map((name) => ({ name, type: 'text', field: { id: name, type: 'text' } }));
  const formatter = createFormatter({ columns, formats: ['json'], profile: ckanProfile('2.12') });
  const { rows } = await copyOut(client, statement, {
    onBytes: (chunk) => {
      options.onChunk?.(chunk.length);
      return formatter.feed(chunk, () => {});
    },
    signal: new AbortController().signal,
    stallSeconds: 20,
    ...options,
  });
  return { rows, written: formatter.rows };
}

async function backends(): Promise<number> {
  return asAdmin(database.adminUrl, async (admin) => {
    const { rowCount } = await admin.query(
      `SELECT FROM pg_stat_activity WHERE application_name = 'copy-test'`,
    );
    return rowCount ?? 0;
  });
}

async function freed(): Promise<void> {
  await eventually('the backend has ended', async () => (await backends()) === 0);
}

/** Bytes that the client's socket has read so far. */
function bytesRead(): number {
  return (client as unknown as { connection: { stream: Socket } }).connection.stream.bytesRead;
}

/** A gate for `whenReady`, shut until opened; `reached` when the reader first stands before it. */
function gate() {
  const reached = Promise.withResolvers<void>();
  const opened = Promise.withResolvers<void>();
  return {
    reached: reached.promise,
    open: opened.resolve,
    whenReady: (): Promise<void> => {
      reached.resolve();
      return opened.promise;
    },
  };
}

describe('P1: a COPY is whole, or an error', () => {
  test('rows are those that Postgres counted, and the connection goes on', async () => {
    const before = await client.query('SELECT pg_backend_pid() AS pid');
    expect(await run(copy)).toEqual({ rows: rowsAsked, written: rowsAsked });
    expect(await run(sql`COPY (SELECT 1, 2 WHERE false) TO STDOUT (FORMAT csv)`)).toEqual({
      rows: 0,
      written: 0,
    });
    const after = await client.query('SELECT pg_backend_pid() AS pid');
    expect(after.rows).toEqual(before.rows);
  });

  test('notices, parameters and notifications in mid-copy are no rows', async () => {
    await client.query('LISTEN news');
    expect(await run(series(sql`public.chatter(n::int)`))).toEqual({ rows: rowsAsked, written: rowsAsked });
  });

  test('an SQL error in the last row', async () => {
    await expect(run(series(sql`1 / (n - ${rowsAsked})`))).rejects.toMatchObject({
      code: 'COPY_BROKEN',
      cause: { code: '22012' },
    });
  });

  test('a statement that is no COPY', async () => {
    await expect(run(sql`SELECT 1`)).rejects.toMatchObject({ code: 'COPY_BROKEN' });
  });

  test('a backend that is terminated', async () => {
    const { whenReady, reached, open } = gate();
    const copying = run(endless, { whenReady });
    const broken = expect(copying).rejects.toMatchObject({ code: 'COPY_BROKEN' });
    await reached;
    await asAdmin(database.adminUrl, (admin) =>
      admin.query(
        `SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE application_name = 'copy-test'`,
      ),
    );
    open();
    await broken;
  });

  test('the link cut at 40 offsets from first to last byte, by reset and by a clean end', async () => {
    const before = bytesRead();
    await run(copy);
    const total = bytesRead() - before;
    const cuts = 40;
    for (let index = 0; index < cuts; index++) {
      const cutBy = index % 2 === 0 ? 'reset' : 'fin';
      const bytes = Math.round((index / (cuts - 1)) * (total - 1));
      proxy.pass();
      client.release(true);
      client = await pool.connect();
      await client.query('SELECT 1');
      proxy.set({ cutAfter: { bytes: bytesRead() + bytes, direction: 'toClient' }, cutBy });
      await expect(run(copy), `cut by ${cutBy} after ${bytes} bytes`).rejects.toMatchObject({
        code: 'COPY_BROKEN',
      });
    }
    console.log(`links cut in mid-copy: ${cuts}, each an error`);
  });

  const fault = new DumperError('CELL_TOO_LARGE', 'too large');
  const throwing = (): never => {
    throw fault;
  };
  test.each<[string, Partial<CopyOptions>]>([
    ['what the reader throws', { onBytes: throwing }],
    ['a reader that fails while it is waited for', { whenReady: () => Promise.reject(fault) }],
  ])('%s ends it', async (_, options) => {
    await expect(run(endless, options)).rejects.toBe(fault);
    await freed();
  });
});

describe('P12: a COPY given up frees its backend', () => {
  test('when it is aborted in mid-stream', async () => {
    const abort = new AbortController();
    const copying = run(endless, {
      signal: abort.signal,
      onChunk: () => abort.abort(new Error('client left')),
    });
    await expect(copying).rejects.toMatchObject({ code: 'ABORTED', cause: { message: 'client left' } });
    await freed();
  });

  test('when it is aborted while the reader rests', async () => {
    const abort = new AbortController();
    const { whenReady, reached } = gate();
    const copying = run(endless, { signal: abort.signal, whenReady });
    const ended = expect(copying).rejects.toMatchObject({ code: 'ABORTED' });
    await reached;
    abort.abort();
    await ended;
    await freed();
  });

  test('and one aborted before it began is not sent', async () => {
    await expect(run(copy, { signal: AbortSignal.abort() })).rejects.toMatchObject({ code: 'ABORTED' });
    expect((await client.query('SELECT 1')).rowCount).toBe(1);
  });
});

describe('P13: nothing waits for ever', () => {
  test('a silent link is COPY_STALLED', async () => {
    const onChunk = (): void => proxy.set({ blackhole: true });
    await expect(run(endless, { stallSeconds: 1, onChunk })).rejects.toMatchObject({
      code: 'COPY_STALLED',
      message: expect.stringContaining('Postgres'),
    });
  });

  test('so is a reader that never gets ready', async () => {
    const { whenReady } = gate();
    await expect(run(endless, { stallSeconds: 1, whenReady })).rejects.toMatchObject({
      code: 'COPY_STALLED',
      message: expect.stringContaining('reader'),
    });
    await freed();
  });

  test('nothing is delivered while the reader rests', async () => {
    let resting = false;
    let rests = 0;
    const whenReady = async (): Promise<void> => {
      resting = true;
      rests += 1;
      for (let turn = 0; turn < 20; turn++) await nextTurn();
      resting = false;
    };
    const onChunk = (): void => expect(resting).toBe(false);
    expect(await run(copy, { whenReady, onChunk })).toEqual({ rows: rowsAsked, written: rowsAsked });
    expect(rests).toBeGreaterThan(5);
  });
});
