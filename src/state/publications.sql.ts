/** The statements of `publications.ts`, one place for each. */
const backOffSeconds = `least(3600, 10 * power(2, least(p.attempts, 10) - 1))`;
const secondsUntil = (time: string): string => `coalesce(extract(epoch FROM ${time} - clock_timestamp()), 0)`;
const rebuildWanted = `(p.rebuild_at IS NOT NULL AND p.rebuild_at > coalesce(p.switched_at, '-infinity'))`;

/**
 * The wait of a table's next publication: a debounce since the last change, though not for ever; a throttle by the time
 * that the table takes to build; a back-off after a failure. A requested rebuild that has not failed since waits for none.
 */
const wait = (quiet: string, factor: string, isRetry: string): string => `CASE
  WHEN ${rebuildWanted} AND coalesce(p.last_error_at, '-infinity') < p.rebuild_at THEN 0 ELSE greatest(0,
    ${secondsUntil(`least(p.noticed_at + make_interval(secs => ${quiet}), p.asked_since + make_interval(secs => ${quiet} * 10))`)},
    ${secondsUntil(`p.switched_at + make_interval(secs => ${factor} * p.build_seconds)`)},
    CASE WHEN p.attempts > 0 AND NOT ${isRetry}
      THEN ${secondsUntil(`p.last_error_at + make_interval(secs => ${backOffSeconds})`)} ELSE 0 END) END::float8 AS wait`;

/**
 * In the order of ids, so that batches of several processes cannot deadlock. Without $7, a change that is waiting already
 * stays as it is: its debounce does not start again.
 */
export const recordChanges = `INSERT INTO dumper.publication AS p (id, life, noticed_at, asked_since, stale_since, rebuild_at, table_bytes)
  SELECT changed.id, $3::jsonb ->> 'absent', clock_timestamp(), clock_timestamp(), clock_timestamp(),
    CASE WHEN $4::boolean THEN clock_timestamp() END, changed.bytes
  FROM unnest($1::text[], $2::bigint[]) AS changed(id, bytes) ORDER BY changed.id
  ON CONFLICT (id) DO UPDATE SET life = $3::jsonb ->> p.life,
    noticed_at = CASE WHEN $7::boolean OR p.asked_since IS NULL THEN excluded.noticed_at ELSE p.noticed_at END,
    asked_since = coalesce(p.asked_since, excluded.asked_since),
    stale_since = coalesce(p.stale_since, excluded.stale_since),
    rebuild_at = coalesce(excluded.rebuild_at, p.rebuild_at),
    table_bytes = coalesce(excluded.table_bytes, p.table_bytes)
  RETURNING id, coalesce(table_bytes, 0) AS bytes, ${wait('$5::float8', '$6::float8', 'false')}`;

export const nextRun = `SELECT id, coalesce(table_bytes, 0) AS bytes, ${rebuildWanted} AS rebuild,
  coalesce(extract(epoch FROM clock_timestamp() - stale_since), 0)::float8 AS stale,
  ${wait('$2::float8', '$3::float8', '$4::boolean')} FROM dumper.publication p WHERE id = $1`;

/** The facts of a manifest. */
const facts = `INSERT INTO dumper.publication AS p (id, life, revision, token, tier, rows, blob_bytes, published_at,
    build_seconds, listed, switched_at, variants, public)
  VALUES ($1, $2::jsonb ->> 'absent', $3, $4, $5, $6, $7, $8, $9, $10, $8, $11, $12)
  ON CONFLICT (id) DO UPDATE SET life = $2::jsonb ->> p.life, revision = excluded.revision, token = excluded.token,
    tier = excluded.tier, rows = excluded.rows, blob_bytes = excluded.blob_bytes,
    published_at = excluded.published_at, build_seconds = excluded.build_seconds, listed = excluded.listed,
    variants = excluded.variants, public = excluded.public`;

/** The manifest may be old: it ends neither later failures, nor their back-off, nor a known change. */
export const recordDiscovered = `${facts}, switched_at = coalesce(p.switched_at, excluded.switched_at)`;

export const recordPublished = `${facts},
    attempts = 0, last_error = NULL, last_error_at = NULL,
    stale_since = CASE WHEN p.noticed_at > p.began_at THEN p.noticed_at END,
    switched_at = CASE WHEN $13::boolean THEN clock_timestamp() ELSE coalesce(p.switched_at, excluded.switched_at) END`;

export const recordFailure = `INSERT INTO dumper.publication AS p (id, life, attempts, last_error, last_error_at)
  VALUES ($1, $2::jsonb ->> 'absent', 1, $3, clock_timestamp())
  ON CONFLICT (id) DO UPDATE SET life = $2::jsonb ->> p.life, attempts = p.attempts + 1, last_error = $3,
    last_error_at = clock_timestamp()`;

/** A missing manifest does not end the failures of its table; a table that is gone ($3) does. */
export const recordRemoved = `UPDATE dumper.publication p SET life = $2::jsonb ->> p.life, revision = NULL, token = NULL, tier = NULL,
    rows = NULL, blob_bytes = NULL, published_at = NULL, listed = NULL, rebuild_at = NULL, stale_since = NULL,
    attempts = CASE WHEN $3::boolean THEN 0 ELSE p.attempts END,
    last_error = CASE WHEN $3::boolean THEN NULL ELSE p.last_error END,
    last_error_at = CASE WHEN $3::boolean THEN NULL ELSE p.last_error_at END
  WHERE id = ANY($1)`;

export const recordColumns = (
  leaseSeconds: number,
): string => `id, life, generation, rows_done, began_at, noticed_at, stale_since, attempts, last_error, last_error_at,
  revision, token, tier, rows, blob_bytes, table_bytes, published_at, build_seconds, listed, variants, public,
  holder IS NOT NULL AND beat_at > clock_timestamp() - make_interval(secs => ${leaseSeconds}) AS leased`;
