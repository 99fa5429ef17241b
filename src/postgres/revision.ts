/**
 * A table's revision token: equal tokens mean equal bytes (P4, no stale blob is called fresh).
 *
 * There are two tiers, and each table is in one:
 * - `exact`: the change journal covers the table. All parts (oid, filenode, identity of the triggers, sum of the
 *   journal's rows, columns with comments) are read with the caller's snapshot, so that the token belongs to the data
 *   that the same snapshot shows. Take the table's ACCESS SHARE lock first: TRUNCATE and rewrites are not MVCC-safe
 *   (Postgres manual, "Caveats" of concurrency control).
 * - `read-only`: statistics counters instead of the journal. They change some time after the commit, and they are not part
 *   of a snapshot: hence the margin in `freshness` and the two readings in `settledState`.
 *
 * Tables that neither covers (partitioned and inherited ones) have a token that any transaction changes: it is never wrong,
 * but on a busy server it is never equal twice. On a standby the counters do not change, so the replayed WAL position takes
 * their place.
 */
import { createHash, randomUUID } from 'node:crypto';
import type { Queryable } from './pool.ts';
import {
  exactSelect,
  isResource,
  journalReadable,
  lookUpNames,
  lookUps,
  readOnlySelect,
  type TableStateRow,
} from './revision.sql.ts';
import { asResourceId, type ResourceId } from './table.ts';

/** What besides the table shapes the bytes of its dump: CKAN's version and settings, as one text. */
interface DumpProfile {
  readonly fingerprint: string;
}

export type Tier = 'exact' | 'read-only';

export interface TableState {
  readonly id: ResourceId;
  readonly tier: Tier;
  /** Opaque; compared for equality only, and only after `revisionToken`. */
  readonly token: string;
  /** Estimated size of table and TOAST, without indexes; reading it takes no lock. */
  readonly bytes: number;
}

/** A table that was found by its name or by an alias. */
export type FoundTable = TableState & { readonly byAlias: boolean };

/** What of a manifest decides freshness. */
interface PublishedRevision {
  readonly token: string;
  readonly tier: Tier;
  readonly published_at: string;
}

/** Which statement worked last on a database: a hint only, corrected by the next answer. */
interface Hint {
  shape: 'exact' | 'readOnly';
  prepare: boolean;
}
const hints = new WeakMap<Queryable, Hint>();

/**
 * Resolve an id or alias as a client wrote it and read its token: the hot path of every redirect, one statement.
 * Null where the DataStore has no such table. Throws what the driver throws.
 */
export async function lookUpTable(db: Queryable, name: string): Promise<FoundTable | null> {
  if (name.includes('\0') || Buffer.byteLength(name) > 63) return null;
  const hint: Hint = hints.get(db) ?? { shape: 'exact', prepare: true };
  hints.set(db, hint);
  const row = await askForTable(db, hint, name);
  return row === undefined ? null : { ...stateOf(row), byAlias: row.id !== name };
}

async function askForTable(
  db: Queryable,
  hint: Hint,
  name: string,
  tries = 4,
): Promise<TableStateRow | undefined> {
  const { shape, prepare } = hint;
  const query = { text: lookUps[shape], values: [name], ...(prepare ? { name: lookUpNames[shape] } : {}) };
  try {
    const { rows } = await db.query<TableStateRow>(query);
    if (shape === 'exact' || rows[0]?.journal !== true || tries === 1) return rows[0];
    hint.shape = 'exact';
  } catch (error) {
    if (tries === 1 || !correct(hint, shape, prepare, (error as { code?: unknown }).code)) throw error;
  }
  return askForTable(db, hint, name, tries - 1);
}

/** The journal is missing or not readable; or a transaction-pooling proxy keeps no prepared statements. */
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
  const select = await selectFor(db);
  const { rows } = await db.query<TableStateRow>(`${select} AND c.relname = $1::text`, [id]);
  return rows[0] === undefined ? null : stateOf(rows[0]);
}

/** The state of every DataStore table, in two queries whatever their number. */
export async function allTables(db: Queryable): Promise<Map<ResourceId, TableState>> {
  const select = await selectFor(db);
  const { rows } = await db.query<TableStateRow>(`${select} ${isResource}`);
  return new Map(rows.map((row) => [asResourceId(row.id), stateOf(row)]));
}

async function selectFor(db: Queryable): Promise<string> {
  const { rows } = await db.query<{ readable: boolean }>(`SELECT ${journalReadable} AS readable`);
  return rows[0]?.readable === true ? exactSelect : readOnlySelect;
}

function stateOf(row: TableStateRow): TableState {
  return {
    id: asResourceId(row.id),
    tier: row.exact ? 'exact' : 'read-only',
    token: row.token,
    bytes: Number(row.bytes),
  };
}

/** The token of a manifest: tier, token and everything else that shapes the bytes, as 32 hex digits. */
export function revisionToken(state: TableState, profile: DumpProfile): string {
  const known = tokens.get(state);
  if (known?.profile === profile) return known.token;
  const text = JSON.stringify([state.tier, state.token, profile.fingerprint]);
  const token = createHash('sha256').update(text).digest('hex').slice(0, 32);
  tokens.set(state, { profile, token });
  return token;
}

/** Computed once for a state that several requests share. */
const tokens = new WeakMap<TableState, { readonly profile: DumpProfile; readonly token: string }>();

/**
 * The state that a publication may put in its manifest. Counters are not part of a snapshot: they may already count a
 * commit that the snapshot does not show. So read-only states are read twice, `before` the snapshot was taken (on any
 * connection) and `inside` its transaction. When they differ, the result gets a token that is never read again: the dump is
 * published, but never called fresh.
 */
export function settledState(before: TableState | null, inside: TableState): TableState {
  if (inside.tier === 'exact' || before?.token === inside.token) return inside;
  return { ...inside, token: `unsettled.${randomUUID()}` };
}

type Freshness = 'fresh' | 'stale' | 'unsettled';

/**
 * Whether a published dump is the table as it is. In the read-only tier, equal counters prove that the table has not changed
 * since the dump was published; `stableSince` may be earlier. Before the margin has passed the answer is `unsettled`: serve
 * live, publish nothing. Pure, and without memory, so that a restart changes nothing.
 */
export function freshness(
  state: TableState,
  published: PublishedRevision | null,
  profile: DumpProfile,
  now: Date,
  marginSeconds: number,
  stableSince?: Date,
): Freshness {
  if (published === null || published.token !== revisionToken(state, profile)) return 'stale';
  if (state.tier === 'exact') return 'fresh';
  const since = Math.min(Date.parse(published.published_at), stableSince?.getTime() ?? Infinity);
  return now.getTime() - since >= marginSeconds * 1000 ? 'fresh' : 'unsettled';
}

/** Since when each read-only table's token is unchanged, as this process has read it in look-ups and sweeps. */
export interface StabilityTracker {
  /** A state was just read; returns since when its token is unchanged, as far as this process knows. */
  observe(state: TableState, now: Date): Date;
  /** Forget all other tables. */
  keepOnly(ids: ReadonlySet<ResourceId> | ReadonlyMap<ResourceId, unknown>): void;
}

export function createStabilityTracker(): StabilityTracker {
  const seen = new Map<ResourceId, { token: string; since: Date }>();
  return {
    observe: (state, now) => {
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
