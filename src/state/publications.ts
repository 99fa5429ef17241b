/**
 * The record of each table's publications: for the status page, for pacing, and as the sweep's copy of what the manifests
 * say. All of it can be rebuilt from the manifests (P5, a lost state database loses no dump).
 */
import type pg from 'pg';
import type { Tier } from '../postgres/revision.ts';
import { asResourceId, type ResourceId } from '../postgres/table.ts';
import { statesAfter, type PublicationState, type PublicationEvent } from './publication-state.ts';
import { blobBytesOf, type Manifest } from '../manifest.ts';
import {
  recordFailure,
  nextRun,
  recordDiscovered,
  recordPublished,
  recordRemoved,
  recordChanges,
  recordColumns,
} from './publications.sql.ts';

export interface PublicationRecord {
  readonly id: ResourceId;
  readonly state: PublicationState;
  readonly generation: number;
  /** A worker is publishing it now, and its last heartbeat is within the lease. */
  readonly leased: boolean;
  readonly beganAt: Date | null;
  readonly rowsDone: number;
  readonly changedAt: Date | null;
  /** When the first change was reported that no publication contains yet. */
  readonly staleSince: Date | null;
  /** Failures since the last success. */
  readonly attempts: number;
  readonly lastError: string | null;
  readonly lastErrorAt: Date | null;
  readonly revision: string | null;
  /** The published manifest's token, tier and time, as last recorded. */
  readonly token: string | null;
  readonly tier: Tier | null;
  readonly rows: number | null;
  readonly blobBytes: number | null;
  readonly tableBytes: number | null;
  readonly publishedAt: Date | null;
  readonly buildSeconds: number | null;
  /** Modification time and length of the manifest in the blob store's listing when it was last read. */
  readonly listed: string | null;
  /** The published variants, sorted and joined by commas; and whether anonymous users could read the table then. */
  readonly variants: string | null;
  readonly public: boolean | null;
}

export interface TableChange {
  readonly id: ResourceId;
  /** The table's size, where it is known. */
  readonly bytes?: number;
  /** Publish it even if nothing changed. */
  readonly rebuild?: boolean;
  /** A reader found the dump stale. That is no new change, so the debounce of one that waits already goes on. */
  readonly fromReader?: boolean;
}

/** How long a table's job waits, in seconds, and the table's size, which decides the queue. */
export interface JobRequest {
  readonly id: ResourceId;
  readonly delaySeconds: number;
  readonly tableBytes: number;
}

interface NextRun extends JobRequest {
  readonly rebuild: boolean;
  /** For how long a change has been known that no publication contains. */
  readonly staleSeconds: number;
}

export interface JobTiming {
  readonly quietSeconds: number;
  /** A table that changes all the time is published once in this many of its own build times. */
  readonly hotTableFactor: number;
}

export interface Publications {
  /** Tables may have changed. One that was reported in several ways has as many job requests. */
  recordChanges(changes: readonly TableChange[], timing: JobTiming): Promise<JobRequest[]>;
  /** When the table's job may begin, and whether it is to publish whatever the token says. */
  nextRun(id: ResourceId, timing: JobTiming, isRetry: boolean): Promise<NextRun>;
  /** The manifest is right now: this process published it, or found it unchanged. */
  recordPublished(id: ResourceId, event: 'published' | 'unchanged', manifest: Manifest): Promise<void>;
  /** A listing of the blob store showed this manifest, which may be old; `listed` is its entry there. */
  recordDiscovered(id: ResourceId, manifest: Manifest, listed: string): Promise<void>;
  recordFailure(id: ResourceId, reason: string): Promise<void>;
  /** The table is not there any more, or its manifest is not. */
  recordRemoved(ids: readonly ResourceId[], event: 'table dropped' | 'manifest missing'): Promise<void>;
  get(id: ResourceId): Promise<PublicationRecord | null>;
  all(): Promise<Map<ResourceId, PublicationRecord>>;
}

interface JobRequestRow {
  id: string;
  bytes: string;
  wait: number;
}

type NextRunRow = JobRequestRow & { rebuild: boolean; stale: number };

export function createPublications(pool: pg.Pool, leaseSeconds: number): Publications {
  const column = (event: PublicationEvent): string => JSON.stringify(statesAfter(event));
  const columns = recordColumns(leaseSeconds);
  return {
    recordChanges: async (changes, { quietSeconds, hotTableFactor }) => {
      const kindOf = ({ rebuild, fromReader }: TableChange): string =>
        `${rebuild === true}/${fromReader === true}`;
      const requests: JobRequest[] = [];
      for (const alike of Map.groupBy(changes, kindOf).values()) {
        const { rebuild = false, fromReader = false } = alike[0] ?? {};
        const sizes = new Map(alike.map(({ id, bytes }) => [id, bytes ?? null]));
        const tables = [[...sizes.keys()], [...sizes.values()], column('changed')];
        const options = [rebuild, quietSeconds, hotTableFactor, !fromReader];
        const { rows } = await pool.query<JobRequestRow>(recordChanges, [...tables, ...options]);
        requests.push(...rows.map(jobRequest));
      }
      return requests;
    },
    nextRun: async (id, timing, isRetry) => {
      const { rows } = await pool.query<NextRunRow>(nextRun, [
        id,
        timing.quietSeconds,
        timing.hotTableFactor,
        isRetry,
      ]);
      const row = rows[0] ?? { id, bytes: '0', wait: 0, rebuild: false, stale: 0 };
      return { ...jobRequest(row), rebuild: row.rebuild, staleSeconds: row.stale };
    },
    recordPublished: async (id, event, manifest) => {
      const values = [id, column(event), ...factsOf(manifest, null), event === 'published'];
      await pool.query(recordPublished, values);
    },
    recordDiscovered: async (id, manifest, listed) => {
      await pool.query(recordDiscovered, [id, column('discovered'), ...factsOf(manifest, listed)]);
    },
    recordFailure: async (id, reason) => {
      await pool.query(recordFailure, [id, column('failed'), reason]);
    },
    recordRemoved: async (ids, event) => {
      await pool.query(recordRemoved, [ids, column(event), event === 'table dropped']);
    },
    get: async (id) => {
      const { rows } = await pool.query<RecordRow>(
        `SELECT ${columns} FROM dumper.publication WHERE id = $1`,
        [id],
      );
      return rows[0] === undefined ? null : record(rows[0]);
    },
    all: async () => {
      const { rows } = await pool.query<RecordRow>(`SELECT ${columns} FROM dumper.publication`);
      return new Map(rows.map((row) => [asResourceId(row.id), record(row)]));
    },
  };
}

function factsOf(manifest: Manifest, listed: string | null): unknown[] {
  const blobBytes = blobBytesOf(manifest);
  const { revision, token, tier, rows, published_at, build_seconds } = manifest;
  const facts = [revision, token, tier, rows, blobBytes, published_at, build_seconds, listed];
  return [...facts, Object.keys(manifest.blobs).sort().join(','), manifest.public];
}

function jobRequest(row: JobRequestRow): JobRequest {
  return { id: asResourceId(row.id), delaySeconds: row.wait, tableBytes: Number(row.bytes) };
}

interface RecordRow {
  id: string;
  life: PublicationState;
  generation: string;
  leased: boolean;
  began_at: Date | null;
  rows_done: string;
  noticed_at: Date | null;
  stale_since: Date | null;
  attempts: number;
  last_error: string | null;
  last_error_at: Date | null;
  revision: string | null;
  token: string | null;
  tier: Tier | null;
  rows: string | null;
  blob_bytes: string | null;
  table_bytes: string | null;
  published_at: Date | null;
  build_seconds: number | null;
  listed: string | null;
  variants: string | null;
  public: boolean | null;
}

function record(row: RecordRow): PublicationRecord {
  const number = (text: string | null): number | null => (text === null ? null : Number(text));
  return {
    id: asResourceId(row.id),
    state: row.life,
    generation: Number(row.generation),
    leased: row.leased,
    beganAt: row.began_at,
    rowsDone: Number(row.rows_done),
    changedAt: row.noticed_at,
    staleSince: row.stale_since,
    attempts: row.attempts,
    lastError: row.last_error,
    lastErrorAt: row.last_error_at,
    revision: row.revision,
    token: row.token,
    tier: row.tier,
    rows: number(row.rows),
    blobBytes: number(row.blob_bytes),
    tableBytes: number(row.table_bytes),
    publishedAt: row.published_at,
    buildSeconds: row.build_seconds,
    listed: row.listed,
    variants: row.variants,
    public: row.public,
  };
}
