/**
 * P3: all formats of a revision show one instant. Writers move amounts between rows in one transaction, so that the sum
 * never changes, and reload, rebuild and reshape the table in the middle of publications.
 */
import type { Client } from 'pg';
import { isDumperError } from '../../src/errors.ts';
import { installTriggers } from '../../src/change/journal.ts';
import { publish } from '../../src/publish/publish.ts';
import { formatOf, type Variant } from '../../src/format.ts';
import { asResourceId } from '../../src/postgres/table.ts';
import { openPublishing, plainly, type Publishing } from '../publish/publishing.ts';
import { asAdmin } from '../world/postgres.ts';
import { readRows } from '../dump/oracle-formatter.ts';
import { blobBytes, manifestOf } from './audit.ts';
import { seeded, type Random } from './random.ts';

const id = asResourceId('t-sum');
const rows = 500;
const sum = rows * 100;
const table = `public."${id}"`;
const create = `CREATE TABLE ${table} (_id int4 PRIMARY KEY, _full_text tsvector, amount int4)`;
const load = `INSERT INTO ${table} (_id, amount) SELECT i, 100 FROM generate_series(1, ${rows}) i`;

export interface Instants {
  readonly rounds: number;
  /** Changes that were committed meanwhile. */
  readonly changes: number;
}

export async function oneInstant(rounds: number, seed: number): Promise<Instants> {
  const publishing = await openPublishing();
  let [done, changes] = [0, 0];
  const ending = new AbortController();
  const change = (index: number): Promise<void> =>
    asAdmin(publishing.database.writeUrl, async (client) => {
      const random = seeded(seed * 10 + index);
      while (!ending.signal.aborted) {
        await client.query(statement(random)).then(
          () => (changes += 1),
          (error: unknown) => giveUpUnlessRaced(client, error),
        );
      }
    });
  try {
    await asAdmin(publishing.database.writeUrl, async (owner) => {
      await owner.query(`${create}; ${load}`);
      await installTriggers(owner, { readRole: 'datastore_default', lockSeconds: 5 });
    });
    const changing = Promise.all([change(0), change(1), change(2)]);
    changing.catch(() => undefined);
    try {
      for (; done < rounds; done += 1) await publishAndParse(publishing);
    } finally {
      ending.abort();
      await changing;
    }
    return { rounds: done, changes };
  } finally {
    await publishing.close();
  }
}

/** One transaction each: several statements in one query are one. The lock comes first, so that no write is lost. */
function statement(random: Random): string {
  const [from, to, amount] = [1 + random(rows), 1 + random(rows), random(50)];
  const move = `UPDATE ${table} SET amount = amount - ${amount} WHERE _id = ${from}; UPDATE ${table} SET amount = amount + ${amount} WHERE _id = ${to}`;
  const [rest = null] = [
    `TRUNCATE ${table}; ${load}`,
    `DROP TABLE ${table}; ${create}; ${load}`,
    `ALTER TABLE ${table} ALTER amount TYPE int8; ${move}; ALTER TABLE ${table} ALTER amount TYPE int4`,
    `DELETE FROM ${table}; ${load}`,
  ].slice(random(40));
  if (rest === null) return `LOCK TABLE ${table} IN ROW EXCLUSIVE MODE; ${move}`;
  return `LOCK TABLE ${table} IN ACCESS EXCLUSIVE MODE; ${rest}`;
}

async function giveUpUnlessRaced(client: Client, error: unknown): Promise<void> {
  await client.query('ROLLBACK');
  if (!/^(40P01|40001|42P01|XX000|23505|55P03)$/.test((error as { code?: string }).code ?? '')) throw error;
}

async function publishAndParse({ world, state, store }: Publishing): Promise<void> {
  try {
    const outcome = await publish(world(), id, plainly({ force: true }));
    if (outcome.kind !== 'published') throw new Error(outcome.kind);
  } catch (error) {
    // waited in vain for the lock: nothing was published, which is right
    if (!isDumperError(error, 'TABLE_BUSY')) throw error;
  } finally {
    await state.fence.release(id);
  }
  const manifest = await manifestOf(store, id);
  const seen = await Promise.all(
    Object.entries(manifest?.blobs ?? {}).map(async ([variant, blob]) => {
      const parsed = readRows(formatOf(variant as Variant), await blobBytes(store, blob.key));
      return { variant, cells: parsed.map((row) => `${row[0]}:${row[1]}`).join(), parsed };
    }),
  );
  for (const { variant, cells, parsed } of seen) {
    const total = parsed.reduce((partial, row) => partial + Number(row[1]), 0);
    if (parsed.length !== rows || total !== sum)
      throw new Error(`${variant}: ${parsed.length} rows, sum ${total}`);
    if (cells !== seen[0]?.cells)
      throw new Error(`${variant} shows another instant than ${seen[0]?.variant}`);
  }
}
