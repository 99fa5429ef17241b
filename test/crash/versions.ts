/**
 * Tables whose every row carries one version, moved on in one transaction in ever different ways; writers who log what
 * was committed, readers who log what they were given. What a reader may see: a whole table of one version, not older
 * than what was committed when its request began (promises P2, P3, P4).
 */
import http from 'node:http';
import type { Client } from 'pg';
import { formats, type Format } from '../../src/format.ts';
import { readRows } from '../dump/oracle-formatter.ts';
import type { Random } from './random.ts';

export interface Versions {
  readonly tables: readonly string[];
  readonly rows: number;
  /** The newest version that is known to be committed. */
  readonly committed: Map<string, number>;
  /** Versions above this were never written. */
  readonly begun: Map<string, number>;
}

const columns = '_id int4 PRIMARY KEY, _full_text tsvector, version int4, pad text';
const fill = (table: string, rows: number, version: string): string =>
  `INSERT INTO public."${table}" (_id, version, pad) SELECT i, ${version}, 'pad ' || i FROM generate_series(1, ${rows}) i`;

export async function createVersions(owner: Client, count: number, rows: number): Promise<Versions> {
  const tables = Array.from({ length: count }, (_, index) => `v-${String(index).padStart(3, '0')}`);
  for (const table of tables) {
    await owner.query(`CREATE TABLE public."${table}" (${columns}); ${fill(table, rows, '1')}`);
  }
  return {
    tables,
    rows,
    committed: new Map(tables.map((table) => [table, 1])),
    begun: new Map(tables.map((table) => [table, 1])),
  };
}

type Change = (table: string, rows: number, version: number) => string;

const update: Change = (table) => `UPDATE public."${table}" SET version = version + 1`;
const dml: readonly Change[] = [
  update,
  (table) =>
    `${update(table, 0, 0)}; DELETE FROM public."${table}" WHERE _id = 2; INSERT INTO public."${table}" SELECT 2, NULL, version, 'again' FROM public."${table}" WHERE _id = 1`,
  (table, rows, version) =>
    `TRUNCATE public."${table}"; ${fill(table, Math.ceil(rows / 2), String(version))}; SAVEPOINT s; TRUNCATE public."${table}"; ROLLBACK TO s;
     INSERT INTO public."${table}" (_id, version, pad) SELECT i, ${version}, 'p' FROM generate_series(${Math.ceil(rows / 2) + 1}, ${rows}) i`,
];
const ddl: readonly Change[] = [
  (table, rows, version) =>
    `DROP TABLE public."${table}"; CREATE TABLE public."${table}" (${columns}); ${fill(table, rows, String(version))}`,
  (table) =>
    `${update(table, 0, 0)}; ALTER TABLE public."${table}" ALTER COLUMN pad TYPE varchar; ALTER TABLE public."${table}" ALTER COLUMN pad TYPE text`,
  (table) => `${update(table, 0, 0)}; COMMENT ON COLUMN public."${table}".pad IS 'commented'`,
];
/** Broken off by a concurrent transaction: a deadlock, a table replaced while it was waited for, a duplicate row. */
const lostRace = /^(40P01|40001|42P01|XX000|23505|55006|55P03)$/;

export interface WriterOptions {
  readonly withDdl: boolean;
  /** After each commit; e.g. sends a notice, or waits. */
  readonly onCommit?: (table: string, version: number) => Promise<void>;
  readonly until: () => boolean;
}

/** Move random tables on until told to stop; returns the number of commits. */
export async function write(
  client: Client,
  versions: Versions,
  random: Random,
  options: WriterOptions,
): Promise<number> {
  let commits = 0;
  const ways = options.withDdl ? [...dml, ...ddl] : dml;
  while (!options.until()) {
    const table = versions.tables[random(versions.tables.length)] ?? '';
    try {
      if (random(8) === 0) await rollBack(client, table);
      const version = await moveOn(client, versions, table, ways[random(ways.length)] ?? update);
      versions.committed.set(table, Math.max(versions.committed.get(table) ?? 0, version));
      commits += 1;
      await options.onCommit?.(table, version);
    } catch (error) {
      await client.query('ROLLBACK');
      if (!lostRace.test((error as { code?: string }).code ?? '')) throw error;
    }
  }
  return commits;
}

async function moveOn(client: Client, versions: Versions, table: string, change: Change): Promise<number> {
  await client.query('BEGIN');
  const exclusive = change === update ? 'ROW EXCLUSIVE' : 'ACCESS EXCLUSIVE';
  await client.query(`SET LOCAL lock_timeout = '5s'; LOCK TABLE public."${table}" IN ${exclusive} MODE`);
  const { rows } = await client.query<{ version: number }>(
    `SELECT version FROM public."${table}" WHERE _id = 1 FOR UPDATE`,
  );
  const version = (rows[0]?.version ?? Number.NaN) + 1;
  versions.begun.set(table, Math.max(versions.begun.get(table) ?? 0, version));
  await client.query(change(table, versions.rows, version));
  await client.query('COMMIT');
  return version;
}

/** What was never committed must never be seen. */
async function rollBack(client: Client, table: string): Promise<void> {
  await client.query(
    `BEGIN; SET LOCAL lock_timeout = '5s'; UPDATE public."${table}" SET version = -1; ROLLBACK`,
  );
}

export interface Reads {
  blob: number;
  live: number;
  /** Refused for now (503). */
  busy: number;
  readonly violations: string[];
}

export interface Answer {
  readonly status: number;
  readonly headers: http.IncomingHttpHeaders;
  readonly body: Buffer;
}

export async function get(url: string, agent: http.Agent): Promise<Answer> {
  const { promise, resolve, reject } = Promise.withResolvers<Answer>();
  const request = http.get(url, { agent }, (response) => {
    const chunks: Buffer[] = [];
    response.on('data', (chunk: Buffer) => chunks.push(chunk));
    response.on('error', reject);
    response.on('end', () =>
      resolve({ status: response.statusCode ?? 0, headers: response.headers, body: Buffer.concat(chunks) }),
    );
  });
  request.on('error', reject);
  return promise;
}

/** Read a random table in a random format, blob or live, as often as `until` allows, from any of the services. */
export async function read(
  bases: readonly string[],
  versions: Versions,
  random: Random,
  options: { readonly until: () => boolean; readonly reads: Reads },
): Promise<void> {
  const agent = new http.Agent({ keepAlive: true, maxSockets: 1 });
  try {
    while (!options.until()) {
      const table = versions.tables[random(versions.tables.length)] ?? '';
      const format = formats[random(formats.length)] ?? 'csv';
      const base = bases[random(bases.length)] ?? '';
      await readOnce(base, versions, table, format, agent, options.reads);
    }
  } finally {
    agent.destroy();
  }
}

async function readOnce(
  base: string,
  versions: Versions,
  table: string,
  format: Format,
  agent: http.Agent,
  reads: Reads,
): Promise<void> {
  const oldest = versions.committed.get(table) ?? 0;
  const what = `${table} as ${format}`;
  try {
    const first = await get(`${base}/datastore/dump/${table}?format=${format}`, agent);
    if (first.status === 503) return void (reads.busy += 1);
    const moved = first.status === 302;
    const answer = moved ? await get(new URL(first.headers.location ?? '', base).href, agent) : first;
    if (answer.status !== 200)
      return void reads.violations.push(`${what}: ${first.status}, then ${answer.status}`);
    const fault = judge(versions, table, format, answer.body, oldest);
    if (fault !== null)
      reads.violations.push(`${what}, ${first.headers['x-dump-source'] as string}: ${fault}`);
    reads[moved ? 'blob' : 'live'] += 1;
  } catch (error) {
    reads.violations.push(`${what}: ${(error as Error).message}`);
  }
}

/** What is wrong with a body, or null. */
export function judge(
  versions: Versions,
  table: string,
  format: Format,
  body: Buffer,
  oldest: number,
): string | null {
  const rows = readRows(format, body);
  if (rows.length !== versions.rows) return `${rows.length} rows, not ${versions.rows}`;
  const seen = new Set(rows.map((row) => row[1]));
  if (seen.size !== 1) return `a mix of versions ${[...seen].join(', ')}`;
  const version = Number([...seen][0]);
  if (version < oldest) return `version ${version}, though ${oldest} was committed before`;
  if (version > (versions.begun.get(table) ?? 0)) return `version ${version}, which was never written`;
  return null;
}
