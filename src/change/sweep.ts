/**
 * The sweep compares every table with what is published of it, in a few queries whatever their number. It finds what no
 * event reported: changed, new and dropped tables, tables without triggers, missing manifests (P4, no stale dump stays).
 *
 * What is published is known from the records, which this service writes when it publishes. Once an hour, and whenever the
 * records were lost, the whole blob store is listed and each manifest that is not known yet is read, because the manifest
 * is the truth (P5, a lost state database loses no dump); orphaned and missing blobs are found then too. The sweep itself
 * publishes nothing; it only puts tables into the queue.
 */
import type { BlobStore } from '../blob-store/blob-store.ts';
import type { CkanProfile } from '../ckan/profile.ts';
import type { Config } from '../config/config.ts';
import { errorMessage } from '../errors.ts';
import type { Variant } from '../format.ts';
import type { Log } from '../log.ts';
import type { Queryable } from '../postgres/pool.ts';
import { allTables, revisionToken, type StabilityTracker, type TableState } from '../postgres/revision.ts';
import { pruneAfterSeconds } from '../publish/publisher.ts';
import { publicationState, type DisplayState } from '../state/publication-state.ts';
import type { TableChange, Publications, PublicationRecord } from '../state/publications.ts';
import type { ResourceId } from '../postgres/table.ts';
import { attachMissing, fold, uncoveredTables } from './journal.ts';
import {
  createManifestReader,
  rebuildRecords,
  tablesMissingBlobs,
  tablesWithOrphanedBlobs,
  takeInventory,
  type StoreInventory,
  type ManifestReader,
} from './store-inventory.ts';

export interface SweepDeps {
  readonly read: Queryable;
  /** The owner's connection, where it is given: with it, tables without triggers get them. */
  readonly write: Queryable | null;
  readonly store: Pick<BlobStore, 'list' | 'head' | 'readSmall' | 'abortUnfinished'>;
  readonly publications: Publications;
  readonly profile: () => CkanProfile;
  /** What must be published of each table: one with a variant missing is published again. */
  readonly variants: readonly Variant[];
  readonly stability: StabilityTracker;
  /** Put tables into the queue. */
  readonly enqueue: (changes: readonly TableChange[]) => Promise<void>;
  readonly now: () => Date;
  readonly log: Log;
  readonly lockSeconds: number;
  /** How long a superseded revision's URLs may still be used, in seconds. */
  readonly retireSeconds: number;
  /** Longest publication: an upload that was begun earlier is abandoned. */
  readonly maxSeconds: number;
}

/** Those of the sweep's parts that settings decide. */
export function sweepSettings(
  config: Config,
): Pick<SweepDeps, 'variants' | 'lockSeconds' | 'retireSeconds' | 'maxSeconds'> {
  return {
    variants: config.DUMPER_FORMATS,
    lockSeconds: config.DUMPER_LOCK_SECONDS,
    retireSeconds: pruneAfterSeconds(config),
    maxSeconds: config.DUMPER_PUBLISH_MAX_SECONDS,
  };
}

export interface SweepReport {
  readonly tables: number;
  readonly exact: number;
  readonly changed: number;
  readonly missing: number;
  readonly gone: number;
  /** Tables that were given triggers in this sweep. */
  readonly attached: number;
  /** Where the store was listed: tables with orphaned blobs, and uploads that were never finished. */
  readonly orphaned: number;
  readonly unfinished: number;
  /** Tables with published blobs that are missing, and tables whose objects cannot be read. */
  readonly missingBlobs: number;
  readonly unreadable: number;
  /** For how long the longest stale table has been stale, as far as is known. */
  readonly oldestStaleSeconds: number;
  readonly states: Readonly<Record<DisplayState, number>>;
  /** So many tables vanished at once that the sweep waits for the next one to see it again. */
  readonly withheld: boolean;
  readonly seconds: number;
}

/** What one sweep remembers for the next: a database that seems empty is believed only when two sweeps see it so. */
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
  const attached = await orNextSweep(deps, 'new tables are not covered', () => coverNewTables(deps), 0);
  const tables = await allTables(deps.read);
  const inventory = options.listStore ? await takeInventory(deps.store) : null;
  const reader = createManifestReader(deps.store, deps.log);
  if (inventory !== null) await rebuildRecords({ ...deps, reader }, tables, inventory);
  const records = await deps.publications.all();
  observeStability(deps, tables);
  const { missing, changed } = compare(deps, tables, records);
  const gone = [...records.values()].filter((record) => isGone(record, tables)).map(({ id }) => ({ id }));
  const many = gone.length > mostGoneAtOnce && gone.length > tables.size;
  const withheld = many && !memory.manyGone;
  memory.manyGone = many;
  const orphaned = await findOrphanedBlobs({ ...deps, reader }, inventory, records, withheld ? tables : null);
  const incomplete = await findMissingBlobs({ ...deps, reader }, inventory, records, tables);
  const unfinished = inventory === null ? 0 : await abortUnfinished(deps);
  await deps.enqueue([...incomplete, ...orphaned, ...missing, ...changed, ...(withheld ? [] : gone)]);
  await orNextSweep(deps, 'the journal is not folded', () => fold(deps.write ?? deps.read), false);
  const report: SweepReport = {
    tables: tables.size,
    exact: [...tables.values()].filter((state) => state.tier === 'exact').length,
    changed: changed.length,
    missing: missing.length,
    gone: gone.length,
    attached,
    orphaned: orphaned.length,
    unfinished,
    missingBlobs: incomplete.length,
    unreadable: reader.unreadable(),
    withheld,
    ...statesOf(deps, tables, records, new Set([...missing, ...changed].map(({ id }) => id))),
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

type ListingDeps = SweepDeps & { readonly reader: ManifestReader };

/** Tables whose orphaned blobs are to be deleted; `only`: those among these, where a database seems empty. */
async function findOrphanedBlobs(
  deps: ListingDeps,
  inventory: StoreInventory | null,
  records: ReadonlyMap<ResourceId, PublicationRecord>,
  only: ReadonlyMap<ResourceId, unknown> | null,
): Promise<TableChange[]> {
  if (inventory === null) return [];
  const found = await tablesWithOrphanedBlobs(deps, inventory, records);
  return found.filter((id) => only === null || only.has(id)).map((id) => ({ id }));
}

/** Tables to publish again although they did not change, because published blobs are missing. */
async function findMissingBlobs(
  { store, reader, log }: ListingDeps,
  inventory: StoreInventory | null,
  records: ReadonlyMap<ResourceId, PublicationRecord>,
  tables: ReadonlyMap<ResourceId, TableState>,
): Promise<TableChange[]> {
  if (inventory === null) return [];
  const published = [...records.values()].filter(({ id }) => tables.has(id));
  const found = await tablesMissingBlobs(store.head, reader, inventory, published);
  for (const table of found)
    log.error({ table }, 'published blobs are missing; the table is published again');
  return found.map((id) => ({ id, bytes: tables.get(id)?.bytes ?? 0, rebuild: true }));
}

/** Clocks differ, and a publication that is aborted takes a moment to end. */
const unfinishedMarginSeconds = 60;

function abortUnfinished({ store, maxSeconds, now }: SweepDeps): Promise<number> {
  return store.abortUnfinished(new Date(now().getTime() - (maxSeconds + unfinishedMarginSeconds) * 1000));
}

function statesOf(
  { now }: SweepDeps,
  tables: ReadonlyMap<ResourceId, TableState>,
  records: ReadonlyMap<ResourceId, PublicationRecord>,
  stale: ReadonlySet<ResourceId>,
): Pick<SweepReport, 'states' | 'oldestStaleSeconds'> {
  const states = { fresh: 0, pending: 0, building: 0, failed: 0, absent: 0 };
  let since = Infinity;
  for (const id of tables.keys()) {
    const record = records.get(id);
    states[publicationState(record ?? null, !stale.has(id))] += 1;
    if (stale.has(id)) since = Math.min(since, record?.staleSince?.getTime() ?? Infinity);
  }
  return { states, oldestStaleSeconds: Math.max(0, Math.round((now().getTime() - since) / 1000)) || 0 };
}

/** Tables can be compared without the journal's maintenance, so what fails of it is left for the next sweep. */
async function orNextSweep<Value>(
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

/** With the owner's connection and the journal installed, tables without triggers get them. */
async function coverNewTables({ write, log, lockSeconds }: SweepDeps): Promise<number> {
  if (write === null) return 0;
  const uncovered = await uncoveredTables(write);
  if (uncovered.length === 0) return 0;
  const { attached, busy, refused } = await attachMissing(write, uncovered, lockSeconds);
  if (busy.length + refused.length > 0) {
    log.warn({ busy: busy.length, refused: refused.length, reason: refused[0]?.reason }, 'not covered');
  }
  return attached.length;
}

function observeStability({ stability, now }: SweepDeps, tables: ReadonlyMap<ResourceId, TableState>): void {
  const seenAt = now();
  for (const state of tables.values()) stability.observe(state, seenAt);
  stability.keepOnly(tables);
}

function isCurrent({ profile, variants }: SweepDeps, record: PublicationRecord, state: TableState): boolean {
  const published = record.variants?.split(',') ?? [];
  // A table that fails is tried again, whatever is published: the failure may be of a rebuild.
  return (
    record.state !== 'failing' &&
    record.token === revisionToken(state, profile()) &&
    variants.every((variant) => published.includes(variant))
  );
}

/** Something may be published of it, and the table is not there any more. */
function isGone(record: PublicationRecord, tables: ReadonlyMap<ResourceId, TableState>): boolean {
  if (tables.has(record.id)) return false;
  return record.token !== null || (record.state !== 'gone' && record.state !== 'absent');
}

interface Abortable {
  readonly store: BlobStore;
  readonly write: Queryable | null;
}

/**
 * The same parts, whose next call throws once the signal aborts: a sweep of thousands of tables must not hold up the end
 * of the process (P20, SIGTERM drains).
 */
export function withAbort<Deps extends Abortable>(deps: Deps, signal: AbortSignal): Deps {
  const { store, write } = deps;
  return {
    ...deps,
    store: {
      ...store,
      list: async function* (prefix) {
        for await (const entry of store.list(prefix)) {
          signal.throwIfAborted();
          yield entry;
        }
      },
      head: async (key) => {
        signal.throwIfAborted();
        return store.head(key);
      },
      readSmall: async (key) => {
        signal.throwIfAborted();
        return store.readSmall(key);
      },
    },
    write: write && {
      query: async (query, values) => {
        signal.throwIfAborted();
        return write.query(query, values);
      },
    },
  };
}
