/**
 * The change journal: installed once by the owner of the tables, put on new tables by the sweep (or from birth, where a
 * superuser helped), folded, and removed without a trace. While it covers a table, its revision token is exact and its
 * changes are notified at commit (P4, no stale blob is called fresh).
 */
import type pg from 'pg';
import { DumperError, errorMessage } from '../errors.ts';
import type { Queryable } from '../postgres/pool.ts';
import { allTables } from '../postgres/revision.ts';
import { journal, journalReadable } from '../postgres/revision.sql.ts';
import type { ResourceId } from '../postgres/table.ts';
import {
  coveringTrigger,
  installScript,
  removeScript,
  type InstallScriptOptions,
  type ScriptPart,
} from './journal.sql.ts';

interface Attached {
  readonly attached: readonly ResourceId[];
  /** Locked by other sessions for longer than the wait; the next sweep tries again. */
  readonly busy: readonly ResourceId[];
  /** This role may not put triggers on them; with Postgres's reason. */
  readonly refused: readonly { readonly id: ResourceId; readonly reason: string }[];
}

interface JournalInstallOptions extends InstallScriptOptions {
  /** A superuser's connection to the same database: new tables are then covered from birth. */
  readonly superuser?: pg.ClientBase;
}

/**
 * Install or upgrade the journal and cover every DataStore table; may be run any number of times, also for a further
 * read role. `write` is one connection of the role that owns the tables (or a superuser's).
 */
export async function installTriggers(
  write: pg.ClientBase,
  options: JournalInstallOptions,
): Promise<Attached> {
  const { objects, events, cover } = installScript(options);
  await runPart(write, objects);
  const superuser = (await isSuperuser(write)) ? write : options.superuser;
  if (superuser) await runPart(superuser, events);
  const before = await uncoveredTables(write);
  await runPart(write, cover);
  // What the script left uncovered is tried once more, so that the reason is known.
  const rest = new Set(await uncoveredTables(write));
  const { attached, busy, refused } = await attachMissing(write, [...rest], options.lockSeconds);
  const covered = before.filter((id) => !rest.has(id));
  return { attached: [...covered, ...attached], busy, refused };
}

async function isSuperuser(client: Queryable): Promise<boolean> {
  const { rows } = await client.query<{ rolsuper: boolean }>(
    'SELECT rolsuper FROM pg_roles WHERE rolname = current_user',
  );
  return rows[0]?.rolsuper === true;
}

/** A part may end in the middle of its transaction: the connection is usable again afterwards. */
async function runPart(client: pg.ClientBase, { sql }: ScriptPart): Promise<void> {
  try {
    await client.query(sql);
  } catch (error) {
    await client.query('ROLLBACK').catch(() => undefined);
    throw error;
  }
}

/** DataStore tables that the journal does not cover, as far as this connection may tell. */
export async function uncoveredTables(db: Queryable): Promise<ResourceId[]> {
  if (!(await journalStatus(db)).readable) return [];
  const tables = await allTables(db);
  return [...tables.values()].filter((table) => table.tier === 'read-only').map((table) => table.id);
}

/** Put the triggers on tables that lack them: one short transaction and one bounded wait for a lock each. */
export async function attachMissing(
  write: Queryable,
  ids: readonly ResourceId[],
  lockSeconds: number,
): Promise<Attached> {
  const attached: ResourceId[] = [];
  const busy: ResourceId[] = [];
  const refused: { id: ResourceId; reason: string }[] = [];
  for (const id of ids) {
    try {
      const { rows } = await write.query<{ attach: boolean }>(`SELECT ${journal.schema}.attach($1, $2)`, [
        id,
        lockSeconds * 1000,
      ]);
      if (rows[0]?.attach) attached.push(id);
    } catch (error) {
      const code = (error as { code?: string }).code;
      if (code === '55P03') busy.push(id);
      else if (code === '42501') refused.push({ id, reason: errorMessage(error) });
      // The table was dropped meanwhile.
      else if (code !== '42P01') throw error;
    }
  }
  return { attached, busy, refused };
}

/**
 * Remove every trigger, function, grant and row of the journal. Tables in use are waited for; throws `TABLE_BUSY` when one
 * stays locked, with nothing lost: run it again. Needs no superuser, even where one helped to install.
 */
export async function removeTriggers(write: pg.ClientBase, lockSeconds: number): Promise<void> {
  try {
    for (const part of removeScript({ lockSeconds })) await runPart(write, part);
  } catch (error) {
    if ((error as { code?: string }).code !== '55P03') throw error;
    throw new DumperError('TABLE_BUSY', 'a table is in use; run remove-triggers again', { cause: error });
  }
}

/** Compact the journal; false where this connection cannot (not installed, no right, a standby). */
export async function fold(db: Queryable): Promise<boolean> {
  try {
    await db.query(`SELECT ${journal.schema}.fold()`);
    return true;
  } catch (error) {
    const code = (error as { code?: string }).code;
    if (code === '3F000' || code === '42883' || code === '42501' || code === '25006') return false;
    throw error;
  }
}

interface JournalStatus {
  /** The journal is in this database. */
  readonly installed: boolean;
  /** This role may read it: without that, no table is in the exact tier for it. */
  readonly readable: boolean;
  /** New tables are covered from birth, not only from the next sweep. */
  readonly coversNewTables: boolean;
}

export async function journalStatus(db: Queryable): Promise<JournalStatus> {
  const { rows } = await db.query<{ installed: boolean; readable: boolean; covers: boolean }>(
    `SELECT EXISTS (SELECT FROM pg_namespace WHERE nspname = $1) AS installed, ${journalReadable} AS readable,
       EXISTS (SELECT FROM pg_event_trigger WHERE evtname = $2 AND evtenabled <> 'D') AS covers`,
    [journal.schema, coveringTrigger],
  );
  const [row] = rows;
  return {
    installed: row?.installed === true,
    readable: row?.readable === true,
    coversNewTables: row?.covers === true,
  };
}
