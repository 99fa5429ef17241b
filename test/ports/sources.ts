/**
 * The sources of tables under test, behind the smallest interface that publications and live answers need of one. A new
 * source is one more entry.
 */
import { copyOut } from '../../src/dump/copy.ts';
import { wholeTable } from '../../src/dump/selection.ts';
import { withSnapshot } from '../../src/dump/snapshot.ts';
import { createPool } from '../../src/postgres/pool.ts';
import { allTables, lookUpTable } from '../../src/postgres/revision.ts';
import { asResourceId } from '../../src/postgres/table.ts';
import { asAdmin, freshDatabase } from '../world/postgres.ts';

export interface SourceTable {
  readonly id: string;
  readonly token: string;
}

export interface SourceSnapshot {
  /** Names of all columns, hidden ones too. */
  readonly columns: readonly string[];
  /** The whole table as rows of CSV, in CopyData messages; resolves with how many rows the source sent. */
  copy(onBytes: (bytes: Uint8Array) => Uint8Array | null): Promise<number>;
}

export interface TableSource {
  /** By id or alias; null where there is no such table. */
  lookUp(name: string): Promise<(SourceTable & { readonly byAlias: boolean }) | null>;
  all(): Promise<readonly SourceTable[]>;
  /** Run `work` in one instant of the table; null where there is no such table. */
  snapshot<Result>(
    id: string,
    signal: AbortSignal,
    work: (snapshot: SourceSnapshot) => Promise<Result>,
  ): Promise<Result | null>;
}

export interface SourceWorld {
  readonly source: TableSource;
  /** A table of `_id`, `name` and the hidden column `_full_text`. */
  createTable(id: string, names: readonly string[]): Promise<void>;
  createAlias(alias: string, id: string): Promise<void>;
  /** Rows get the next ids. */
  insert(id: string, names: readonly string[]): Promise<void>;
  dropTable(id: string): Promise<void>;
  stop(): Promise<void>;
}

export const sources: Readonly<Record<string, () => Promise<SourceWorld>>> = { postgres: openPostgres };

async function openPostgres(): Promise<SourceWorld> {
  const database = await freshDatabase();
  const pool = createPool({
    url: database.readUrl,
    applicationName: 'dumper-test-source',
    size: 2,
    onIdleError: () => undefined,
  });
  const write = (statement: string, values: unknown[] = []): Promise<unknown> =>
    asAdmin(database.writeUrl, (owner) => owner.query(statement, values));
  const insert = (id: string, names: readonly string[]): Promise<unknown> =>
    write(`INSERT INTO "${id}" (name) SELECT unnest($1::text[])`, [names]);
  return {
    source: {
      lookUp: (name) => lookUpTable(pool, name),
      all: async () => [...(await allTables(pool)).values()],
      snapshot: (name, signal, work) =>
        withSnapshot(
          pool,
          asResourceId(name),
          { lockSeconds: 5, stallSeconds: 30, signal },
          ({ client, columns }) =>
            work({
              columns: columns.map((column) => column.name),
              copy: async (onBytes) => {
                const { copy } = wholeTable(asResourceId(name), columns);
                return (await copyOut(client, copy, { onBytes, signal, stallSeconds: 30 })).rows;
              },
            }),
        ),
    },
    createTable: async (id, names) => {
      await write(`CREATE TABLE "${id}" (_id serial PRIMARY KEY, _full_text tsvector, name text)`);
      await insert(id, names);
    },
    createAlias: async (alias, id) => void (await write(`CREATE VIEW "${alias}" AS SELECT * FROM "${id}"`)),
    insert: async (id, names) => void (await insert(id, names)),
    dropTable: async (id) => void (await write(`DROP TABLE "${id}" CASCADE`)),
    stop: async () => {
      await pool.end();
      await database.drop();
    },
  };
}
