/**
 * What is remembered of each table's publications: for the status page, for pacing, and as the sweep's copy of what
 * the manifests say. All of it can be learned again.
 */
import type pg from 'pg';
import type { Tier } from '../revision.ts';
import { asResourceId, type ResourceId } from '../table.ts';
import { lifeAfter, type Life, type LifeEvent } from '../table-life.ts';
import type { Manifest } from '../dump/manifest.ts';

export interface TableRecord {
  readonly id: ResourceId;
  readonly life: Life;
  readonly generation: number;
  /** Someone is publishing it now and has shown a heartbeat within the lease. */
  readonly held: boolean;
  readonly beganAt: Date | null;
  readonly rowsDone: number;
  readonly noticedAt: Date | null;
  /** The first word of a change that no publication has answered yet. */
  readonly staleSince: Date | null;
  /** Failures since the last success. */
  readonly attempts: number;
  readonly lastError: string | null;
  readonly lastErrorAt: Date | null;
  readonly revision: string | null;
  /** The published manifest's token, tier and time, as last learned. */
  readonly token: string | null;
  readonly tier: Tier | null;
  readonly rows: number | null;
  readonly blobBytes: number | null;
  readonly tableBytes: number | null;
  readonly publishedAt: Date | null;
  readonly buildSeconds: number | null;
  /** The manifest's entry in the blob store's listing when it was last read. */
  readonly listed: string | null;
  /** The published variants, sorted and joined by commas; and whether anonymous users could read the table then. */
  readonly variants: string | null;
  readonly public: boolean | null;
}

export interface Notice {
  readonly id: ResourceId;
  /** The table's size, where it is known. */
  readonly bytes?: number;
}

/** How long a table's job waits, in seconds, and which slots it belongs to. */
export interface Appointment {
  readonly id: ResourceId;
  readonly waitSeconds: number;
  readonly tableBytes: number;
}

export interface Due extends Appointment {
  readonly rebuild: boolean;
  /** For how long a change has been known that no publication has answered. */
  readonly staleSeconds: number;
}

export interface Pace {
  readonly quietSeconds: number;
  /** A table that never rests is published once in this many of its own build times. */
  readonly hotTableFactor: number;
}

export interface Records {
  /** Someone said look. With `rebuild` the next publication is made even if nothing changed. */
  noticed(notices: readonly Notice[], pace: Pace, rebuild: boolean): Promise<Appointment[]>;
  /** When a job of this table may begin, and whether it is to publish whatever the token says. */
  due(id: ResourceId, pace: Pace, isRetry: boolean): Promise<Due>;
  /** The manifest as it is now: published by us, or found. `listed` where it was found by listing. */
  learned(
    id: ResourceId,
    event: 'switched' | 'confirmed',
    manifest: Manifest,
    listed?: string,
  ): Promise<void>;
  broke(id: ResourceId, reason: string): Promise<void>;
  /** The table is not there any more, or its manifest is not. */
  lost(ids: readonly ResourceId[], event: 'dropped' | 'missed'): Promise<void>;
  get(id: ResourceId): Promise<TableRecord | null>;
  all(): Promise<Map<ResourceId, TableRecord>>;
}

const backOffSeconds = `least(3600, 10 * power(2, least(p.attempts, 10) - 1))`;
const secondsUntil = (time: string): string => `coalesce(extract(epoch FROM ${time} - clock_timestamp()), 0)`;
const rebuildWanted = `(p.rebuild_at IS NOT NULL AND p.rebuild_at > coalesce(p.switched_at, '-infinity'))`;

/**
 * Quiet since the last notice, though not for ever; not sooner than the pace; not before a failure's back-off. A
 * rebuild that was asked for, and has not failed since, waits for nothing.
 */
const wait = (quiet: string, factor: string, isRetry: string): string => `CASE
  WHEN ${rebuildWanted} AND coalesce(p.last_error_at, '-infinity') < p.rebuild_at THEN 0 ELSE greatest(0,
    ${secondsUntil(`least(p.noticed_at + make_interval(secs => ${quiet}), p.asked_since + make_interval(secs => ${quiet} * 10))`)},
    ${secondsUntil(`p.switched_at + make_interval(secs => ${factor} * p.build_seconds)`)},
    CASE WHEN p.attempts > 0 AND NOT ${isRetry}
      THEN ${secondsUntil(`p.last_error_at + make_interval(secs => ${backOffSeconds})`)} ELSE 0 END) END::float8 AS wait`;

/** In the order of ids, so that batches of several processes wait for one another and never each for the other. */
const noticed = `INSERT INTO dumper.publication AS p (id, life, noticed_at, asked_since, stale_since, rebuild_at, table_bytes)
  SELECT heard.id, $3::jsonb ->> 'absent', clock_timestamp(), clock_timestamp(), clock_timestamp(),
    CASE WHEN $4::boolean THEN clock_timestamp() END, heard.bytes
  FROM unnest($1::text[], $2::bigint[]) AS heard(id, bytes) ORDER BY heard.id
  ON CONFLICT (id) DO UPDATE SET life = $3::jsonb ->> p.life, noticed_at = excluded.noticed_at,
    asked_since = coalesce(p.asked_since, excluded.asked_since),
    stale_since = coalesce(p.stale_since, excluded.stale_since),
    rebuild_at = coalesce(excluded.rebuild_at, p.rebuild_at),
    table_bytes = coalesce(excluded.table_bytes, p.table_bytes)
  RETURNING id, coalesce(table_bytes, 0) AS bytes, ${wait('$5::float8', '$6::float8', 'false')}`;

const due = `SELECT id, coalesce(table_bytes, 0) AS bytes, ${rebuildWanted} AS rebuild,
  coalesce(extract(epoch FROM clock_timestamp() - stale_since), 0)::float8 AS stale,
  ${wait('$2::float8', '$3::float8', '$4::boolean')} FROM dumper.publication p WHERE id = $1`;

const learned = `INSERT INTO dumper.publication AS p (id, life, revision, token, tier, rows, blob_bytes, published_at,
    build_seconds, listed, switched_at, variants, public)
  VALUES ($1, $2::jsonb ->> 'absent', $3, $4, $5, $6, $7, $8, $9, $10, $8, $12, $13)
  ON CONFLICT (id) DO UPDATE SET life = $2::jsonb ->> p.life, revision = excluded.revision, token = excluded.token,
    tier = excluded.tier, rows = excluded.rows, blob_bytes = excluded.blob_bytes,
    published_at = excluded.published_at, build_seconds = excluded.build_seconds, listed = excluded.listed,
    variants = excluded.variants, public = excluded.public,
    attempts = 0, last_error = NULL, last_error_at = NULL,
    stale_since = CASE WHEN p.noticed_at > p.began_at THEN p.noticed_at END,
    switched_at = CASE WHEN $11::boolean THEN clock_timestamp() ELSE coalesce(p.switched_at, excluded.switched_at) END`;

const broke = `INSERT INTO dumper.publication AS p (id, life, attempts, last_error, last_error_at)
  VALUES ($1, $2::jsonb ->> 'absent', 1, $3, clock_timestamp())
  ON CONFLICT (id) DO UPDATE SET life = $2::jsonb ->> p.life, attempts = p.attempts + 1, last_error = $3,
    last_error_at = clock_timestamp()`;

const lost = `UPDATE dumper.publication p SET life = $2::jsonb ->> p.life, revision = NULL, token = NULL, tier = NULL,
    rows = NULL, blob_bytes = NULL, published_at = NULL, listed = NULL, rebuild_at = NULL, stale_since = NULL,
    attempts = 0, last_error = NULL, last_error_at = NULL
  WHERE id = ANY($1)`;

const recordColumns = `id, life, generation, rows_done, began_at, noticed_at, stale_since, attempts, last_error, last_error_at,
  revision, token, tier, rows, blob_bytes, table_bytes, published_at, build_seconds, listed, variants, public,
  holder IS NOT NULL AND beat_at > clock_timestamp() - interval '15 seconds' AS held`;

interface AppointmentRow {
  id: string;
  bytes: string;
  wait: number;
}

type DueRow = AppointmentRow & { rebuild: boolean; stale: number };

export function createRecords(pool: pg.Pool): Records {
  const column = (event: LifeEvent): string => JSON.stringify(lifeAfter(event));
  return {
    noticed: async (notices, pace, rebuild) => {
      const sizes = new Map(notices.map(({ id, bytes }) => [id, bytes ?? null]));
      const values = [[...sizes.keys()], [...sizes.values()], column('noticed'), rebuild];
      const { rows } = await pool.query<AppointmentRow>(noticed, [
        ...values,
        pace.quietSeconds,
        pace.hotTableFactor,
      ]);
      return rows.map(appointment);
    },
    due: async (id, pace, isRetry) => {
      const { rows } = await pool.query<DueRow>(due, [id, pace.quietSeconds, pace.hotTableFactor, isRetry]);
      const row = rows[0] ?? { id, bytes: '0', wait: 0, rebuild: false, stale: 0 };
      return { ...appointment(row), rebuild: row.rebuild, staleSeconds: row.stale };
    },
    learned: async (id, event, manifest, listed) => {
      const blobBytes = Object.values(manifest.blobs).reduce((sum, blob) => sum + blob.bytes, 0);
      const { revision, token, tier, rows, published_at, build_seconds } = manifest;
      const facts = [revision, token, tier, rows, blobBytes, published_at, build_seconds, listed ?? null];
      const shape = [Object.keys(manifest.blobs).sort().join(','), manifest.public];
      await pool.query(learned, [id, column(event), ...facts, event === 'switched', ...shape]);
    },
    broke: async (id, reason) => {
      await pool.query(broke, [id, column('broke'), reason]);
    },
    lost: async (ids, event) => {
      await pool.query(lost, [ids, column(event)]);
    },
    get: async (id) => {
      const { rows } = await pool.query<RecordRow>(
        `SELECT ${recordColumns} FROM dumper.publication WHERE id = $1`,
        [id],
      );
      return rows[0] === undefined ? null : record(rows[0]);
    },
    all: async () => {
      const { rows } = await pool.query<RecordRow>(`SELECT ${recordColumns} FROM dumper.publication`);
      return new Map(rows.map((row) => [asResourceId(row.id), record(row)]));
    },
  };
}

function appointment(row: AppointmentRow): Appointment {
  return { id: asResourceId(row.id), waitSeconds: row.wait, tableBytes: Number(row.bytes) };
}

interface RecordRow {
  id: string;
  life: Life;
  generation: string;
  held: boolean;
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

function record(row: RecordRow): TableRecord {
  const number = (text: string | null): number | null => (text === null ? null : Number(text));
  return {
    id: asResourceId(row.id),
    life: row.life,
    generation: Number(row.generation),
    held: row.held,
    beganAt: row.began_at,
    rowsDone: Number(row.rows_done),
    noticedAt: row.noticed_at,
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
