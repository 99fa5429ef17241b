/**
 * The sweep: every table compared with what is published of it, in a handful of queries whatever their number. It
 * finds what no notice told: changed, new and dropped tables, tables without triggers, manifests that are missing.
 *
 * What is published is known from the records, which this service writes when it publishes. Now and then, and whenever
 * the records were lost, the blob store is listed whole and each manifest that is not known yet is read: the manifest
 * is the truth (promises P4 and P5); blobs that nothing names, and such that are missing, are found then too. The
 * sweep itself publishes nothing; it only puts tables into the queue.
 */
import type { BlobStore } from '../blob-store/blob-store.ts';
import type { CkanProfile } from '../ckan/profile.ts';
import { errorMessage } from '../errors.ts';
import type { Variant } from '../format.ts';
import type { Log } from '../log.ts';
import type { Queryable } from '../postgres/pool.ts';
import { allTables, revisionToken, type StabilityTracker, type TableState } from '../postgres/revision.ts';
import type { TableChange, Publications, PublicationRecord } from '../state/publications.ts';
import type { ResourceId } from '../postgres/table.ts';
import { tablesMissingBlobs } from './damage.ts';
import { attachMissing, fold, journalStatus } from './journal.ts';
import { rebuildRecords } from './learn.ts';
import {
  createManifestReader,
  takeInventory,
  type StoreInventory,
  type ManifestReader,
} from './store-inventory.ts';
import { tablesWithOrphanedBlobs } from './litter.ts';

export interface SweepDeps {
  readonly read: Queryable;
  /** The owner's connections, where they are given: triggers are put on tables that lack them. */
  readonly write: Queryable | null;
  readonly store: Pick<BlobStore, 'list' | 'head' | 'readSmall' | 'abortUnfinished'>;
  readonly publications: Publications;
  readonly profile: () => CkanProfile;
  /** What each published table must have: a manifest that lacks one is no longer enough. */
  readonly variants: readonly Variant[];
  readonly stability: StabilityTracker;
  /** Put tables into the queue. */
  readonly enqueue: (notices: readonly TableChange[]) => Promise<void>;
  readonly now: () => Date;
  readonly log: Log;
  readonly lockSeconds: number;
  /** How long a superseded revision's URLs may still be used, in seconds. */
  readonly retireSeconds: number;
  /** Longest publication: an upload begun earlier than that is nobody's any more. */
  readonly maxSeconds: number;
}

export interface SweepReport {
  readonly tables: number;
  readonly exact: number;
  readonly changed: number;
  readonly missing: number;
  readonly gone: number;
  /** Tables that were given triggers in this sweep. */
  readonly attached: number;
  /** Where the store was listed: tables with blobs that nothing refers to, and uploads that were never finished. */
  readonly orphaned: number;
  readonly unfinished: number;
  /** Tables with published blobs that are not there, and tables whose objects cannot be read. */
  readonly missingBlobs: number;
  readonly unreadable: number;
  /** For how long the table that has been stale for longest has been so, as far as is known. */
  readonly oldestStaleSeconds: number;
  readonly states: Readonly<Record<TableCondition, number>>;
  /** So many tables vanished at once that the sweep waits for the next one to see it again. */
  readonly withheld: boolean;
  readonly seconds: number;
}

/** A table as the metrics tell it. */
export type TableCondition = 'fresh' | 'pending' | 'building' | 'failed' | 'absent';

/** What one sweep remembers for the next: a database that seems empty is believed only when seen so twice. */
export interface SweepMemory {
  manyGone: boolean;
}

const mostGoneAtOnce = 20;

export async function sweep(
  deps: SweepDeps,
  memory: SweepMemory,
  options: { readonly listStore: boolean },
): Promise<SweepReport> {
  const started = performance.now();
  const attached = await orLater(deps, 'new tables are not covered', () => coverNewTables(deps), 0);
  const tables = await allTables(deps.read);
  const listing = options.listStore ? await takeInventory(deps.store) : null;
  const reading = createManifestReader(deps.store, deps.log);
  if (listing !== null) await rebuildRecords({ ...deps, reading }, tables, listing);
  const records = await deps.publications.all();
  note(deps, tables);
  const { missing, changed } = compare(deps, tables, records);
  const gone = [...records.values()].filter((record) => isGone(record, tables)).map(({ id }) => ({ id }));
  const many = gone.length > mostGoneAtOnce && gone.length > tables.size;
  const withheld = many && !memory.manyGone;
  memory.manyGone = many;
  const litter = await findLitter({ ...deps, reading }, listing, records, withheld ? tables : null);
  const damaged = await findDamage({ ...deps, reading }, listing, records, tables);
  await deps.enqueue([...damaged, ...litter.notices, ...missing, ...changed, ...(withheld ? [] : gone)]);
  await orLater(deps, 'the journal is not folded', () => fold(deps.write ?? deps.read), false);
  const report: SweepReport = {
    tables: tables.size,
    exact: [...tables.values()].filter((state) => state.tier === 'exact').length,
    changed: changed.length,
    missing: missing.length,
    gone: gone.length,
    attached,
    orphaned: litter.notices.length,
    unfinished: litter.unfinished,
    missingBlobs: damaged.length,
    unreadable: reading.unreadable(),
    withheld,
    ...conditions(deps, tables, records, new Set([...missing, ...changed].map(({ id }) => id))),
    seconds: Math.round(performance.now() - started) / 1000,
  };
  if (withheld) deps.log.warn(report, 'most tables vanished at once; their dumps stay until the next sweep');
  else deps.log.info(report, 'sweep');
  return report;
}

function compare(
  deps: SweepDeps,
  tables: ReadonlyMap<ResourceId, TableState>,
  records: ReadonlyMap<ResourceId, PublicationRecord>,
): { missing: TableChange[]; changed: TableChange[] } {
  const missing: TableChange[] = [];
  const changed: TableChange[] = [];
  for (const [id, state] of tables) {
    const record = records.get(id);
    if (!record?.token) missing.push({ id, bytes: state.bytes });
    else if (!isCurrent(deps, record, state)) changed.push({ id, bytes: state.bytes });
  }
  return { missing, changed };
}

/** Tables to clear away after, those of a database that seems empty left out; and uploads that nobody goes on with. */
async function findLitter(
  deps: SweepDeps & { readonly reading: ManifestReader },
  listing: StoreInventory | null,
  records: ReadonlyMap<ResourceId, PublicationRecord>,
  only: ReadonlyMap<ResourceId, unknown> | null,
): Promise<{ notices: TableChange[]; unfinished: number }> {
  if (listing === null) return { notices: [], unfinished: 0 };
  const littered = await tablesWithOrphanedBlobs(deps, listing, records);
  const longest = (deps.maxSeconds + unfinishedMarginSeconds) * 1000;
  const unfinished = await deps.store.abortUnfinished(new Date(deps.now().getTime() - longest));
  const notices = littered.filter((id) => only === null || only.has(id)).map((id) => ({ id }));
  return { notices, unfinished };
}

/** Tables to publish anew although they did not change: of what is published, blobs are missing. */
async function findDamage(
  { store, reading, log }: SweepDeps & { readonly reading: ManifestReader },
  listing: StoreInventory | null,
  records: ReadonlyMap<ResourceId, PublicationRecord>,
  tables: ReadonlyMap<ResourceId, TableState>,
): Promise<TableChange[]> {
  if (listing === null) return [];
  const published = [...records.values()].filter(({ id }) => tables.has(id));
  const damaged = await tablesMissingBlobs(store.head, reading, listing, published);
  for (const table of damaged) log.error({ table }, 'published blobs are missing; they are made again');
  return damaged.map((id) => ({ id, bytes: tables.get(id)?.bytes ?? 0, rebuild: true }));
}

/** Clocks differ, and a publication that is given up takes a moment to end. */
const unfinishedMarginSeconds = 60;

function conditions(
  { now }: SweepDeps,
  tables: ReadonlyMap<ResourceId, TableState>,
  records: ReadonlyMap<ResourceId, PublicationRecord>,
  stale: ReadonlySet<ResourceId>,
): Pick<SweepReport, 'states' | 'oldestStaleSeconds'> {
  const states = { fresh: 0, pending: 0, building: 0, failed: 0, absent: 0 };
  let since = Infinity;
  for (const id of tables.keys()) {
    const record = records.get(id);
    states[conditionOf(record, stale.has(id))] += 1;
    if (stale.has(id)) since = Math.min(since, record?.staleSince?.getTime() ?? Infinity);
  }
  return { states, oldestStaleSeconds: Math.max(0, Math.round((now().getTime() - since) / 1000)) || 0 };
}

function conditionOf(record: PublicationRecord | undefined, isStale: boolean): TableCondition {
  if (record?.state === 'building' && record.leased) return 'building';
  if (!isStale) return 'fresh';
  if (record?.state === 'failing') return 'failed';
  return record === undefined || record.state === 'absent' ? 'absent' : 'pending';
}

/** The journal's upkeep is no condition of comparing tables: what fails is tried again by the next sweep. */
async function orLater<Value>(
  { log }: SweepDeps,
  what: string,
  work: () => Promise<Value>,
  otherwise: Value,
): Promise<Value> {
  try {
    return await work();
  } catch (error) {
    log.warn({ reason: errorMessage(error) }, what);
    return otherwise;
  }
}

/** With the owner's role at hand and the journal installed, tables without triggers get them. */
async function coverNewTables({ read, write, log, lockSeconds }: SweepDeps): Promise<number> {
  if (write === null || !(await journalStatus(read)).installed) return 0;
  const tables = await allTables(read);
  const bare = [...tables.values()].filter((state) => state.tier === 'read-only').map((state) => state.id);
  if (bare.length === 0) return 0;
  const { attached, busy, refused } = await attachMissing(write, bare, lockSeconds);
  if (busy.length + refused.length > 0) {
    log.warn({ busy: busy.length, refused: refused.length, reason: refused[0]?.reason }, 'not covered');
  }
  return attached.length;
}

function note({ stability, now }: SweepDeps, tables: ReadonlyMap<ResourceId, TableState>): void {
  const seenAt = now();
  for (const state of tables.values()) stability.observe(state, seenAt);
  stability.keepOnly(tables);
}

function isCurrent({ profile, variants }: SweepDeps, record: PublicationRecord, state: TableState): boolean {
  const published = record.variants?.split(',') ?? [];
  // One that fails is asked for again, whatever is published: a rebuild, or records from long ago.
  return (
    record.state !== 'failing' &&
    record.token === revisionToken(state, profile()) &&
    variants.every((variant) => published.includes(variant))
  );
}

/** Something may be published of it, and it is no table any more. */
function isGone(record: PublicationRecord, tables: ReadonlyMap<ResourceId, TableState>): boolean {
  if (tables.has(record.id)) return false;
  return record.token !== null || (record.state !== 'gone' && record.state !== 'absent');
}
