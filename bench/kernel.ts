/**
 * What the formatter costs: the COPY of one table read to nowhere, against the same COPY through the kernel to each
 * format, to CKAN's and to all. Both sides take turns in one process; medians of wall time and their ratio to the raw COPY.
 *
 *   npx node bench/kernel.ts [--rows 300000] [--rounds 5] [--table narrow|typical|wide|texty|nested]
 */
import { parseArgs } from 'node:util';
import { Pool } from 'pg';
import { readColumns } from '../src/postgres/catalogue.ts';
import { ckanProfile } from '../src/ckan/profile.ts';
import { copyOut } from '../src/dump/copy.ts';
import { createFormatter } from '../src/dump/format/formatter.ts';
import { wholeTable } from '../src/dump/selection.ts';
import { ckanFormats, formats, type Format } from '../src/format.ts';
import type { PoolClient } from '../src/postgres/pool.ts';
import { asResourceId } from '../src/postgres/table.ts';
import { startPostgres } from '../test/world/postgres-server.ts';
import { kernelTables } from './kernel-tables.ts';

const { values: flags } = parseArgs({
  options: {
    rows: { type: 'string', default: '300000' },
    rounds: { type: 'string', default: '5' },
    table: { type: 'string', multiple: true },
  },
});
const id = asResourceId('bench-kernel');
const profile = ckanProfile('2.12');

/** Reads messages over and throws them away; hands back what is no CopyData. */
function discard(): (chunk: Uint8Array) => Uint8Array | null {
  let skip = 0;
  let header = Buffer.alloc(0);
  return (chunk) => {
    let at = skip - header.length;
    const bytes =
      header.length > 0
        ? Buffer.concat([header, chunk])
        : Buffer.from(chunk.buffer, chunk.byteOffset, chunk.length);
    at = skip;
    while (at + 5 <= bytes.length) {
      const code = bytes[at];
      if (code !== 0x64 && code !== 0x48) return bytes.subarray(at);
      at += bytes.readUInt32BE(at + 1) + 1;
    }
    header = at < bytes.length ? Buffer.from(bytes.subarray(at)) : Buffer.alloc(0);
    skip = Math.max(0, at - bytes.length);
    return null;
  };
}

/** One COPY to nowhere, through the kernel to `wanted` formats, or raw where there is none; seconds and bytes. */
async function once(
  client: PoolClient,
  wanted: readonly Format[],
): Promise<{ seconds: number; bytes: number }> {
  const { copy, columns } = wholeTable(id, await readColumns(client, id));
  const formatter = createFormatter({ columns, formats: wanted, profile });
  let bytes = 0;
  const count = (_: Format, part: Uint8Array): void => {
    bytes += part.length;
  };
  const start = performance.now();
  await copyOut(client, copy, {
    onBytes: wanted.length === 0 ? discard() : (chunk) => formatter.feed(chunk, count),
    signal: new AbortController().signal,
    stallSeconds: 60,
  });
  return { seconds: (performance.now() - start) / 1000, bytes };
}

function nameOf(side: readonly Format[]): string {
  if (side.length === 1) return side.join();
  return side === formats ? 'all' : "CKAN's";
}

function median(numbers: readonly number[]): number {
  return numbers.toSorted((one, other) => one - other)[Math.floor(numbers.length / 2)] ?? 0;
}

async function measure(client: PoolClient, table: string): Promise<void> {
  const sides: readonly (readonly Format[])[] = [
    [],
    ...formats.map((format) => [format]),
    ckanFormats,
    formats,
  ];
  const seconds = sides.map((): number[] => []);
  const bytes = sides.map(() => 0);
  for (let round = 0; round < Number(flags.rounds); round++) {
    for (const [index, side] of sides.entries()) {
      const run = await once(client, side);
      seconds[index]?.push(run.seconds);
      bytes[index] = run.bytes;
    }
  }
  const raw = median(seconds[0] ?? []);
  for (const [index, side] of sides.entries()) {
    const took = median(seconds[index] ?? []);
    const name = side.length === 0 ? 'raw' : nameOf(side);
    const rate = (bytes[index] ?? 0) / took / 1e6;
    const nanoseconds = (took / Number(flags.rows)) * 1e9;
    console.log(
      `${table.padEnd(8)} ${name.padEnd(9)} ${took.toFixed(3)} s  ${(took / raw).toFixed(2)}  ` +
        `${nanoseconds.toFixed(0).padStart(6)} ns/row  ${rate.toFixed(0).padStart(5)} MB/s`,
    );
  }
}

const server = await startPostgres();
const pool = new Pool({ connectionString: server.adminUrl, max: 1 });
// The server stops right after the pool.
pool.on('error', () => {});
const client = await pool.connect();
try {
  for (const table of flags.table ?? Object.keys(kernelTables)) {
    await client.query(`DROP TABLE IF EXISTS public."${id}"`);
    await client.query(kernelTables[table]?.(`public."${id}"`, Number(flags.rows)) ?? `no table ${table}`);
    await client.query(`ALTER TABLE public."${id}" ADD PRIMARY KEY (_id)`);
    await client.query(`VACUUM ANALYZE public."${id}"`);
    await measure(client, table);
  }
} finally {
  client.release();
  await pool.end();
  await server.stop();
}
