/**
 * The change journal's life: installed once by the owner of the tables, kept on new tables by the sweep (or from birth,
 * where a superuser helped), folded, and removed without a trace. While it covers a table its revision token is exact
 * and its changes are told by NOTIFY at commit (promise P4).
 */
import type pg from 'pg';
import { DumperError, errorMessage } from '../errors.ts';
import type { Queryable } from '../postgres/pool.ts';
import { allTables, journal } from '../postgres/revision.ts';
import { quoteIdentifier, type ResourceId } from '../postgres/table.ts';
import { eventObjects, eventTriggers, journalObjects } from './journal.sql.ts';

const schema = journal.schema;
/** Any fixed number: one installation at a time in a database. */
const installationLock = 5_170_312;

export interface Attached {
  readonly attached: readonly ResourceId[];
  /** Locked by others for longer than the wait; the next sweep tries again. */
  readonly busy: readonly ResourceId[];
  /** Not ours to cover, with Postgres's reason. */
  readonly refused: readonly { readonly id: ResourceId; readonly reason: string }[];
}

export interface JournalInstallOptions {
  /** The role of the read URL: may then read the journal and fold it. */
  readonly readRole: string;
  /** A superuser's connection to the same database: new tables are then covered from birth. */
  readonly superuser?: pg.ClientBase;
  readonly lockSeconds: number;
}

/**
 * Install or upgrade the journal and cover every DataStore table; may be run any number of times, also for a further
 * read role. `write` is one connection of the role that owns the tables (or a superuser's).
 */
export async function installTriggers(
  write: pg.ClientBase,
  options: JournalInstallOptions,
): Promise<Attached> {
  await transaction(write, async () => {
    await write.query('SELECT pg_advisory_xact_lock($1)', [installationLock]);
    const { rowCount } = await write.query('SELECT FROM pg_namespace WHERE nspname = $1', [schema]);
    if (rowCount === 0) await write.query(`CREATE SCHEMA ${schema}`);
    await write.query(journalObjects);
    await grant(write, options.readRole);
  });
  const superuser = (await isSuperuser(write)) ? write : options.superuser;
  if (superuser) await installEventTriggers(superuser);
  return attachMissing(write, await uncovered(write), options.lockSeconds);
}

async function grant(write: pg.ClientBase, readRole: string): Promise<void> {
  const role = quoteIdentifier(readRole);
  await write.query(`GRANT USAGE ON SCHEMA ${schema} TO ${role}`);
  await write.query(`GRANT SELECT ON ${schema}.change TO ${role}`);
  await write.query(`GRANT EXECUTE ON FUNCTION ${schema}.fold() TO ${role}`);
}

async function isSuperuser(client: Queryable): Promise<boolean> {
  const { rows } = await client.query<{ rolsuper: boolean }>(
    'SELECT rolsuper FROM pg_roles WHERE rolname = current_user',
  );
  return rows[0]?.rolsuper === true;
}

async function installEventTriggers(superuser: pg.ClientBase): Promise<void> {
  await transaction(superuser, async () => {
    await superuser.query('SELECT pg_advisory_xact_lock($1)', [installationLock]);
    await superuser.query(eventObjects);
    for (const { name, create } of eventTriggers) {
      const { rowCount } = await superuser.query('SELECT FROM pg_event_trigger WHERE evtname = $1', [name]);
      if (rowCount === 0) await superuser.query(create);
    }
  });
}

/** DataStore tables that could be covered by the journal and are not. */
async function uncovered(db: Queryable): Promise<ResourceId[]> {
  const tables = await allTables(db);
  return [...tables.values()].filter((table) => table.tier === 'read-only').map((table) => table.id);
}

/** Put the triggers on tables that lack them; one short transaction and one bounded lock wait a table. */
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
      const { rows } = await write.query<{ attach: boolean }>(`SELECT ${schema}.attach($1, $2)`, [
        id,
        lockSeconds * 1000,
      ]);
      if (rows[0]?.attach) attached.push(id);
    } catch (error) {
      const code = (error as { code?: string }).code;
      if (code === '55P03') busy.push(id);
      else if (code === '42501') refused.push({ id, reason: errorMessage(error) });
      // dropped while we waited
      else if (code !== '42P01') throw error;
    }
  }
  return { attached, busy, refused };
}

/**
 * Remove every trigger, function, grant and row of the journal. Tables in use are waited for; throws `TABLE_BUSY` when
 * one stays locked, with nothing lost: run it again. Needs no superuser, even where one helped to install.
 */
export async function removeTriggers(write: pg.ClientBase, lockSeconds: number): Promise<void> {
  const wait = `SET LOCAL lock_timeout = ${lockSeconds * 1000}`;
  try {
    for (const id of await covered(write)) {
      await transaction(write, async () => {
        await write.query(wait);
        for (const trigger of [journal.rowTrigger, journal.truncateTrigger]) {
          await write.query(`DROP TRIGGER IF EXISTS ${trigger} ON public.${quoteIdentifier(id)}`);
        }
      });
    }
    await transaction(write, async () => {
      await write.query(wait);
      await write.query(`DROP SCHEMA IF EXISTS ${schema} CASCADE`);
    });
  } catch (error) {
    if ((error as { code?: string }).code !== '55P03') throw error;
    throw new DumperError('TABLE_BUSY', 'a table is in use; run remove-triggers again', { cause: error });
  }
}

async function covered(db: Queryable): Promise<string[]> {
  const { rows } = await db.query<{ relname: string }>(
    `SELECT DISTINCT c.relname FROM pg_trigger g JOIN pg_class c ON c.oid = g.tgrelid
     WHERE g.tgname IN ('${journal.rowTrigger}', '${journal.truncateTrigger}')
       AND c.relnamespace = 'public'::regnamespace`,
  );
  return rows.map((row) => row.relname);
}

/** Compact the journal; false where this connection may not (not installed, no right, a standby). */
export async function fold(db: Queryable): Promise<boolean> {
  try {
    await db.query(`SELECT ${schema}.fold()`);
    return true;
  } catch (error) {
    const code = (error as { code?: string }).code;
    if (code === '3F000' || code === '42883' || code === '42501' || code === '25006') return false;
    throw error;
  }
}

export interface JournalStatus {
  readonly installed: boolean;
  /** New tables are covered from birth, not only from the next sweep. */
  readonly coversNewTables: boolean;
}

export async function journalStatus(db: Queryable): Promise<JournalStatus> {
  const { rows } = await db.query<{ installed: boolean; covers: boolean }>(
    `SELECT EXISTS (SELECT FROM pg_namespace WHERE nspname = $1) AS installed,
       EXISTS (SELECT FROM pg_event_trigger WHERE evtname = $2 AND evtenabled <> 'D') AS covers`,
    [schema, eventTriggers[0]?.name],
  );
  return { installed: rows[0]?.installed === true, coversNewTables: rows[0]?.covers === true };
}

async function transaction(client: pg.ClientBase, work: () => Promise<void>): Promise<void> {
  await client.query('BEGIN');
  try {
    await work();
    await client.query('COMMIT');
  } catch (error) {
    await client.query('ROLLBACK').catch(() => undefined);
    throw error;
  }
}
