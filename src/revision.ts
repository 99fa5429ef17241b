/**
 * A table's revision token: equal tokens mean equal bytes. Promise P4, no stale blob is called fresh.
 *
 * Two tiers, told apart per table:
 * - `exact`: the change journal covers the table. All parts (oid, filenode, identity of the triggers, sum of the
 *   journal's rows, columns with comments) are read with the caller's snapshot, so that the token belongs to the data
 *   that the same snapshot shows. Take the table's ACCESS SHARE lock first: TRUNCATE and rewrites are not MVCC-safe
 *   (Postgres manual, "Caveats" of concurrency control).
 * - `read-only`: statistics counters instead of the journal. They move some time after the commit, and no snapshot
 *   holds them, hence the margin in `freshness` and the two readings in `settledState`.
 *
 * What neither covers (partitioned and inherited tables) has a token that any transaction changes: always exact, never
 * at rest on a busy server. On a standby, counters stand still, so the replayed position takes their place.
 */
import { createHash, randomUUID } from 'node:crypto';
import { profileFingerprint, type CkanProfile } from './ckan-profile.ts';
import type { Queryable } from './postgres.ts';
import { asResourceId, type ResourceId } from './table.ts';

/** Where the change journal lives, if it is installed: `change/journal.ts` makes it, this file reads it. */
export const journal = {
  schema: 'datastore_dumper',
  rowTrigger: 'datastore_dumper_rows',
  truncateTrigger: 'datastore_dumper_truncate',
  /** The journal's sum is kept modulo 2^60, so that it folds into a bigint. */
  modulus: '1152921504606846976',
} as const;

export type Tier = 'exact' | 'read-only';

export interface TableState {
  readonly id: ResourceId;
  readonly tier: Tier;
  /** Opaque; compared for equality only, and only after `revisionToken`. */
  readonly token: string;
  /** Estimated size of table and TOAST, without indexes; reading it takes no lock. */
  readonly bytes: number;
}

/** Whether a table is, or is asked as, its own name. */
export type FoundTable = TableState & { readonly byAlias: boolean };

/** What a manifest says of its dump, as far as freshness asks. */
export interface Published {
  readonly token: string;
  readonly tier: Tier;
  readonly published_at: string;
}

interface StateRow {
  id: string;
  exact: boolean;
  token: string;
  bytes: string;
  journal: boolean;
}

/** Column facts that shape a dump: order, names, types, comments. Read with the caller's snapshot. */
const columnsHash = `(SELECT left(md5(string_agg(concat_ws('|', a.attnum, a.attname, a.atttypid, a.atttypmod,
      a.attisdropped, d.description), ',' ORDER BY a.attnum)), 16)
    FROM pg_catalog.pg_attribute a
    LEFT JOIN pg_catalog.pg_description d
      ON d.objoid = a.attrelid AND d.classoid = 'pg_catalog.pg_class'::regclass AND d.objsubid = a.attnum
    WHERE a.attrelid = c.oid AND a.attnum > 0)`;

const counters = `CASE WHEN pg_is_in_recovery() THEN pg_last_wal_replay_lsn()::text
    ELSE concat_ws('.', pg_stat_get_tuples_inserted(c.oid), pg_stat_get_tuples_updated(c.oid),
      pg_stat_get_tuples_deleted(c.oid),
      extract(epoch FROM pg_stat_get_db_stat_reset_time((SELECT oid FROM pg_catalog.pg_database
        WHERE datname = current_database()))),
      extract(epoch FROM pg_stat_get_bgwr_stat_reset_time()), extract(epoch FROM pg_postmaster_start_time())) END`;

const withoutJournal = `CASE WHEN c.relkind = 'r' AND NOT c.relhassubclass THEN ${counters}
    ELSE pg_current_snapshot()::text END`;

const bytesEstimate = `(greatest(c.relpages, 0) + coalesce((SELECT greatest(s.relpages, 0)
    FROM pg_catalog.pg_class s WHERE s.oid = c.reltoastrelid), 0))::bigint * 8192`;

const journalInstalled = `EXISTS (SELECT FROM pg_catalog.pg_class j JOIN pg_catalog.pg_namespace n ON n.oid = j.relnamespace
    WHERE n.nspname = '${journal.schema}' AND j.relname = 'change'
      AND has_schema_privilege(n.oid, 'USAGE') AND has_table_privilege(j.oid, 'SELECT'))`;

/** Both triggers, and both firing always; their identity changes when they are switched off and on again. */
const triggers = `LATERAL (SELECT count(*) = 2 AND c.relkind = 'r' AND NOT c.relhassubclass AS covered,
      string_agg(concat_ws(':', g.oid, g.xmin), '-' ORDER BY g.oid) AS identity
    FROM pg_catalog.pg_trigger g
    WHERE g.tgrelid = c.oid AND g.tgname IN ('${journal.rowTrigger}', '${journal.truncateTrigger}')
      AND g.tgenabled = 'A') t`;

const journalSum = `coalesce((SELECT (sum(j.amount) % ${journal.modulus})::text
    FROM ${journal.schema}.change j WHERE j.relation = c.oid), '0')`;

const exactColumns = `c.relname AS id, t.covered AS exact, true AS journal, ${bytesEstimate} AS bytes,
  concat_ws('.', c.oid, c.relfilenode, ${columnsHash},
    CASE WHEN t.covered THEN concat_ws('.', t.identity, ${journalSum}) ELSE ${withoutJournal} END) AS token`;
const readOnlyColumns = `c.relname AS id, false AS exact, ${journalInstalled} AS journal, ${bytesEstimate} AS bytes,
  concat_ws('.', c.oid, c.relfilenode, ${columnsHash}, ${withoutJournal}) AS token`;

const isTable = `c.relnamespace = 'public'::regnamespace AND c.relkind IN ('r', 'p')`;

const exactSelect = `SELECT ${exactColumns} FROM pg_catalog.pg_class c CROSS JOIN ${triggers} WHERE ${isTable}`;
const readOnlySelect = `SELECT ${readOnlyColumns} FROM pg_catalog.pg_class c WHERE ${isTable}`;

/** CKAN's `_table_metadata.alias_of`, from the catalogue that CKAN's view reads: the table a view rests on. */
const asked = `CASE WHEN EXISTS (SELECT FROM pg_catalog.pg_class c WHERE c.relname = $1::text AND ${isTable}) THEN $1::text
  ELSE (SELECT base.relname::text FROM pg_catalog.pg_class view
    JOIN pg_catalog.pg_rewrite rule ON rule.ev_class = view.oid
    JOIN pg_catalog.pg_depend link ON link.objid = rule.oid AND link.classid = 'pg_catalog.pg_rewrite'::regclass
      AND link.refclassid = 'pg_catalog.pg_class'::regclass AND link.refobjid <> view.oid
    JOIN pg_catalog.pg_class base ON base.oid = link.refobjid
    WHERE view.relname = $1::text AND view.relkind = 'v' AND view.relnamespace = 'public'::regnamespace
    ORDER BY md5(base.relname) LIMIT 1) END`;

const named = { exact: 'dumper_look_up_exact', readOnly: 'dumper_look_up_read_only' } as const;
const lookUps = {
  exact: `${exactSelect} AND c.relname = (${asked})`,
  readOnly: `${readOnlySelect} AND c.relname = (${asked})`,
} as const;

/** Tables as CKAN makes them: an `_id` column, and a name that does not mark an internal table. */
const isResource = `AND NOT starts_with(c.relname::text, '_') AND EXISTS (SELECT FROM pg_catalog.pg_attribute a
  WHERE a.attrelid = c.oid AND a.attname = '_id' AND NOT a.attisdropped)`;

/** What was last known of a database: a hint only, put right by the next answer. */
interface Hint {
  shape: 'exact' | 'readOnly';
  prepare: boolean;
}
const hints = new WeakMap<Queryable, Hint>();

/**
 * Resolve an id or alias as a client wrote it and read its token: the hot path of every redirect, one statement.
 * Null where the DataStore has no such table. Throws what the driver throws.
 */
export async function lookUp(db: Queryable, name: string): Promise<FoundTable | null> {
  if (name.includes('\0') || Buffer.byteLength(name) > 63) return null;
  const hint: Hint = hints.get(db) ?? { shape: 'exact', prepare: true };
  hints.set(db, hint);
  const row = await askForTable(db, hint, name);
  return row === undefined ? null : { ...stateOf(row), byAlias: row.id !== name };
}

async function askForTable(db: Queryable, hint: Hint, name: string): Promise<StateRow | undefined> {
  const { shape, prepare } = hint;
  const query = { text: lookUps[shape], values: [name], ...(prepare ? { name: named[shape] } : {}) };
  try {
    const { rows } = await db.query<StateRow>(query);
    if (shape === 'exact' || rows[0]?.journal !== true) return rows[0];
    hint.shape = 'exact';
  } catch (error) {
    if (!correct(hint, shape, prepare, (error as { code?: unknown }).code)) throw error;
  }
  return askForTable(db, hint, name);
}

/** The journal is not there or not ours to read; or a transaction-pooling proxy that keeps no prepared statements. */
function correct(hint: Hint, shape: Hint['shape'], prepared: boolean, code: unknown): boolean {
  if (shape === 'exact' && (code === '42P01' || code === '3F000' || code === '42501'))
    hint.shape = 'readOnly';
  else if (prepared && (code === '26000' || code === '42P05')) hint.prepare = false;
  else return false;
  return true;
}

/**
 * One table's state, for use inside the publishing transaction: every part but the counters is read with the
 * caller's snapshot. Null where the table is not there.
 */
export async function tableState(db: Queryable, id: ResourceId): Promise<TableState | null> {
  const select = (await journalReadable(db)) ? exactSelect : readOnlySelect;
  const { rows } = await db.query<StateRow>(`${select} AND c.relname = $1::text`, [id]);
  return rows[0] === undefined ? null : stateOf(rows[0]);
}

/** The state of every DataStore table, in two queries whatever their number. */
export async function allTables(db: Queryable): Promise<Map<ResourceId, TableState>> {
  const select = (await journalReadable(db)) ? exactSelect : readOnlySelect;
  const { rows } = await db.query<StateRow>(`${select} ${isResource}`);
  return new Map(rows.map((row) => [asResourceId(row.id), stateOf(row)]));
}

async function journalReadable(db: Queryable): Promise<boolean> {
  const { rows } = await db.query<{ installed: boolean }>(`SELECT ${journalInstalled} AS installed`);
  return rows[0]?.installed === true;
}

function stateOf(row: StateRow): TableState {
  return {
    id: asResourceId(row.id),
    tier: row.exact ? 'exact' : 'read-only',
    token: row.token,
    bytes: Number(row.bytes),
  };
}

/** What a manifest holds as its token: tier, token and everything else that shapes the bytes, as 32 hex digits. */
export function revisionToken(state: TableState, profile: CkanProfile): string {
  const text = JSON.stringify([state.tier, state.token, profileFingerprint(profile)]);
  return createHash('sha256').update(text).digest('hex').slice(0, 32);
}

/**
 * The state that a publication may put in its manifest. Counters are not part of a snapshot: they may already count a
 * commit that the snapshot does not show. So read-only states are read twice, `before` the snapshot was taken (on any
 * connection) and `inside` its transaction; when they differ, the result equals no state ever read again, and the
 * dump is published but never called fresh.
 */
export function settledState(before: TableState | null, inside: TableState): TableState {
  if (inside.tier === 'exact' || before?.token === inside.token) return inside;
  return { ...inside, token: `unsettled.${randomUUID()}` };
}

export type Freshness = 'fresh' | 'stale' | 'unsettled';

/**
 * Whether a published dump is the table as it is. In the read-only tier equal counters prove rest since the dump was
 * published, and `restedSince` may know of longer; before the margin has passed the answer is `unsettled`: serve live,
 * publish nothing. Pure; needs no memory, so a restart is no danger.
 */
export function freshness(
  state: TableState,
  published: Published | null,
  profile: CkanProfile,
  now: Date,
  marginSeconds: number,
  restedSince?: Date,
): Freshness {
  if (published === null || published.token !== revisionToken(state, profile)) return 'stale';
  if (state.tier === 'exact') return 'fresh';
  const since = Math.min(Date.parse(published.published_at), restedSince?.getTime() ?? Infinity);
  return now.getTime() - since >= marginSeconds * 1000 ? 'fresh' : 'unsettled';
}

/** Since when each read-only table's token has been seen unchanged by this process; fed by look-ups and the sweep. */
export interface RestMemory {
  /** Note a state that was just read; returns since when it rests, as far as this process has seen. */
  saw(state: TableState, now: Date): Date;
  /** Forget tables that are gone. */
  keepOnly(ids: ReadonlySet<ResourceId> | ReadonlyMap<ResourceId, unknown>): void;
}

export function createRestMemory(): RestMemory {
  const seen = new Map<ResourceId, { token: string; since: Date }>();
  return {
    saw: (state, now) => {
      const last = seen.get(state.id);
      if (last?.token === state.token) return last.since;
      if (state.tier === 'read-only') seen.set(state.id, { token: state.token, since: now });
      return now;
    },
    keepOnly: (ids) => {
      for (const id of seen.keys()) if (!ids.has(id)) seen.delete(id);
    },
  };
}
