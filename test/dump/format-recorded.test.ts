/**
 * Every table of the recorded CKANs, in every format: the kernel's bytes are CKAN's, and one scan of all four formats
 * gives the same as four (promise P22). `recorded-tables.json` holds the digests of CKAN's answers that are no defect.
 */
import { createHash } from 'node:crypto';
import { readFile } from 'node:fs/promises';
import path from 'node:path';
import { Pool } from 'pg';
import { expect, test } from 'vitest';
import { readColumns } from '../../src/catalogue.ts';
import { ckanProfile, type CkanProfile } from '../../src/ckan-profile.ts';
import { copyOut } from '../../src/dump/copy.ts';
import { createFormatter } from '../../src/dump/format/formatter.ts';
import { wholeTable } from '../../src/dump/selection.ts';
import { formats, type Format } from '../../src/format.ts';
import type { PoolClient } from '../../src/postgres.ts';
import { asResourceId } from '../../src/table.ts';
import { freshDatabase, type Corpus } from '../world/postgres.ts';

interface Recorded {
  readonly table: string;
  readonly format: Format;
  readonly milliseconds?: boolean;
  readonly sha256: string;
}

const recorded = JSON.parse(
  await readFile(path.join(import.meta.dirname, 'recorded-tables.json'), 'utf8'),
) as Record<Corpus, readonly Recorded[]>;

/** The digests of a table's answers, from one scan. */
async function digests(
  client: PoolClient,
  table: string,
  profile: CkanProfile,
): Promise<Map<Format, string>> {
  const id = asResourceId(table);
  const { copy, columns } = wholeTable(id, await readColumns(client, id), profile);
  const formatter = createFormatter({ columns, formats, profile });
  const hashes = new Map(
    formats.map((format) => [format, createHash('sha256').update(formatter.head(format))]),
  );
  const { rows } = await copyOut(client, copy, {
    onBytes: (chunk) => formatter.feed(chunk, (format, bytes) => hashes.get(format)?.update(bytes)),
    signal: AbortSignal.timeout(60_000),
    stallSeconds: 30,
  });
  expect(formatter.rows).toBe(rows);
  return new Map(
    [...hashes].map(([format, hash]) => [format, hash.update(formatter.tail(format)).digest('hex')]),
  );
}

test.each([
  ['2.11.6', '2.11'],
  ['2.12.0', '2.12'],
] as const)('P22: every table of CKAN %s in every format has its bytes', async (corpus, version) => {
  const database = await freshDatabase({ corpus });
  const pool = new Pool({ connectionString: database.readUrl, max: 1 });
  const client = await pool.connect();
  try {
    await client.query("SET datestyle = 'ISO'");
    const written = new Map<string, Promise<Map<Format, string>>>();
    for (const { table, format, milliseconds, sha256 } of recorded[corpus]) {
      const key = `${table} ${milliseconds ?? ''}`;
      const profile = ckanProfile(version, { msInTimestamp: milliseconds });
      if (!written.has(key)) written.set(key, digests(client, table, profile));
      expect((await written.get(key))?.get(format), `${table} as ${format}`).toBe(sha256);
    }
    console.log(`answers of CKAN ${corpus} equal by digest: ${recorded[corpus].length}`);
  } finally {
    client.release(true);
    await pool.end();
    await database.drop();
  }
});
