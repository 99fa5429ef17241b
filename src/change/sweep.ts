/**
 * The sweep: every table compared with what is published of it, in a handful of queries whatever their number. It
 * finds what no notice told: changed, new and dropped tables, tables without triggers, manifests that are missing.
 *
 * What is published is known from the records, which this service writes when it publishes. Now and then, and whenever
 * the records were lost, the blob store is listed whole and each manifest that is not known yet is read: the manifest
 * is the truth (promises P4 and P5). The sweep itself publishes nothing; it only puts tables into the queue.
 */
import type { BlobStore } from '../blob-store.ts';
import type { CkanProfile } from '../ckan-profile.ts';
import { readPublished } from '../dump/manifest.ts';
import { reasonOf } from '../errors.ts';
import type { Variant } from '../format.ts';
import type { Log } from '../log.ts';
import type { Queryable } from '../postgres.ts';
import { allTables, revisionToken, type RestMemory, type TableState } from '../revision.ts';
import type { Notice, Records, TableRecord } from '../state/record.ts';
import type { ResourceId } from '../table.ts';
import { attachMissing, fold, journalStatus } from './journal.ts';
import { listStore, tablesWithLitter, type Listing } from './litter.ts';

export interface SweepWorld {
  readonly read: Queryable;
  /** The owner's connections, where they are given: triggers are put on tables that lack them. */
  readonly write: Queryable | null;
  readonly store: Pick<BlobStore, 'list' | 'readSmall' | 'abortUnfinished'>;
  readonly records: Records;
  readonly profile: () => CkanProfile;
  /** What each published table must have: a manifest that lacks one is no longer enough. */
  readonly variants: readonly Variant[];
  readonly rest: RestMemory;
  /** Put tables into the queue. */
  readonly look: (notices: readonly Notice[]) => Promise<void>;
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
  readonly littered: number;
  readonly unfinished: number;
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
  world: SweepWorld,
  memory: SweepMemory,
  options: { readonly listStore: boolean },
): Promise<SweepReport> {
  const started = performance.now();
  const attached = await orLater(world, 'new tables are not covered', () => coverNewTables(world), 0);
  const tables = await allTables(world.read);
  const listing = options.listStore ? await listStore(world.store) : null;
  if (listing !== null) await learnFromStore(world, tables, listing);
  const records = await world.records.all();
  note(world, tables);
  const { missing, changed } = compare(world, tables, records);
  const gone = [...records.values()].filter((record) => isGone(record, tables)).map(({ id }) => ({ id }));
  const many = gone.length > mostGoneAtOnce && gone.length > tables.size;
  const withheld = many && !memory.manyGone;
  memory.manyGone = many;
  const litter = await findLitter(world, listing, records, withheld ? tables : null);
  await world.look([...litter.notices, ...missing, ...changed, ...(withheld ? [] : gone)]);
  await orLater(world, 'the journal is not folded', () => fold(world.write ?? world.read), false);
  const report: SweepReport = {
    tables: tables.size,
    exact: [...tables.values()].filter((state) => state.tier === 'exact').length,
    changed: changed.length,
    missing: missing.length,
    gone: gone.length,
    attached,
    littered: litter.notices.length,
    unfinished: litter.unfinished,
    withheld,
    ...conditions(world, tables, records, new Set([...missing, ...changed].map(({ id }) => id))),
    seconds: Math.round(performance.now() - started) / 1000,
  };
  if (withheld) world.log.warn(report, 'most tables vanished at once; their dumps stay until the next sweep');
  else world.log.info(report, 'sweep');
  return report;
}

function compare(
  world: SweepWorld,
  tables: ReadonlyMap<ResourceId, TableState>,
  records: ReadonlyMap<ResourceId, TableRecord>,
): { missing: Notice[]; changed: Notice[] } {
  const missing: Notice[] = [];
  const changed: Notice[] = [];
  for (const [id, state] of tables) {
    const record = records.get(id);
    if (!record?.token) missing.push({ id, bytes: state.bytes });
    else if (!isCurrent(world, record, state)) changed.push({ id, bytes: state.bytes });
  }
  return { missing, changed };
}

/** Tables to clear away after, those of a database that seems empty left out; and uploads that nobody goes on with. */
async function findLitter(
  world: SweepWorld,
  listing: Listing | null,
  records: ReadonlyMap<ResourceId, TableRecord>,
  only: ReadonlyMap<ResourceId, unknown> | null,
): Promise<{ notices: Notice[]; unfinished: number }> {
  if (listing === null) return { notices: [], unfinished: 0 };
  const littered = await tablesWithLitter(world, listing, records);
  const longest = (world.maxSeconds + unfinishedMarginSeconds) * 1000;
  const unfinished = await world.store.abortUnfinished(new Date(world.now().getTime() - longest));
  const notices = littered.filter((id) => only === null || only.has(id)).map((id) => ({ id }));
  return { notices, unfinished };
}

/** Clocks differ, and a publication that is given up takes a moment to end. */
const unfinishedMarginSeconds = 60;

function conditions(
  { now }: SweepWorld,
  tables: ReadonlyMap<ResourceId, TableState>,
  records: ReadonlyMap<ResourceId, TableRecord>,
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

function conditionOf(record: TableRecord | undefined, isStale: boolean): TableCondition {
  if (record?.life === 'building' && record.held) return 'building';
  if (!isStale) return 'fresh';
  if (record?.life === 'failing') return 'failed';
  return record === undefined || record.life === 'absent' ? 'absent' : 'pending';
}

/** The journal's upkeep is no condition of comparing tables: what fails is tried again by the next sweep. */
async function orLater<Value>(
  { log }: SweepWorld,
  what: string,
  work: () => Promise<Value>,
  otherwise: Value,
): Promise<Value> {
  try {
    return await work();
  } catch (error) {
    log.warn({ reason: reasonOf(error) }, what);
    return otherwise;
  }
}

/** With the owner's role at hand and the journal installed, tables without triggers get them. */
async function coverNewTables({ read, write, log, lockSeconds }: SweepWorld): Promise<number> {
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

function note({ rest, now }: SweepWorld, tables: ReadonlyMap<ResourceId, TableState>): void {
  const seenAt = now();
  for (const state of tables.values()) rest.saw(state, seenAt);
  rest.keepOnly(tables);
}

function isCurrent({ profile, variants }: SweepWorld, record: TableRecord, state: TableState): boolean {
  const published = record.variants?.split(',') ?? [];
  // One that fails is asked for again, whatever is published: a rebuild, or records from long ago.
  return (
    record.life !== 'failing' &&
    record.token === revisionToken(state, profile()) &&
    variants.every((variant) => published.includes(variant))
  );
}

/** Something may be published of it, and it is no table any more. */
function isGone(record: TableRecord, tables: ReadonlyMap<ResourceId, TableState>): boolean {
  if (tables.has(record.id)) return false;
  return record.token !== null || (record.life !== 'gone' && record.life !== 'absent');
}

/** Read each manifest that the records do not know; forget those that are not there. */
async function learnFromStore(
  { store, records }: SweepWorld,
  tables: ReadonlyMap<ResourceId, TableState>,
  { manifests: listed, samples }: Listing,
): Promise<void> {
  const known = await records.all();
  const unread = [...listed].filter(([id, entry]) => known.get(id)?.listed !== entry);
  await Promise.all(
    Array.from({ length: 8 }, async () => {
      for (let next = unread.pop(); next !== undefined; next = unread.pop()) {
        const [id, entry] = next;
        const published = await readPublished(store, id);
        // a manifest that cannot be read counts as none: a table publishes anew, a gone one is withdrawn
        if (published?.manifest) await records.found(id, published.manifest, entry);
        else if (tables.has(id)) await records.lost([id], 'missed');
        // a file of this name that nothing else says is ours may be anybody's
        else if (known.has(id) || samples.has(id))
          await records.noticed([{ id }], { quietSeconds: 0, hotTableFactor: 0 }, false);
      }
    }),
  );
  const absent = [...known.values()].filter(({ id, token, held }) => token && !held && !listed.has(id));
  if (absent.length > 0) {
    await records.lost(
      absent.map(({ id }) => id),
      'missed',
    );
  }
}
