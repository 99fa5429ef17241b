/**
 * The records as lists for people: found, sorted and cut by Postgres, a page at a time, so that a list costs what it
 * shows and not what there is (P12, P13: no answer holds up the others).
 *
 * A list goes on after a position, not after a number of records: what a reader may not see leaves no gap in it
 * (P9, nothing that CKAN would refuse).
 */
import { randomBytes } from 'node:crypto';
import type pg from 'pg';
import { DumperError } from '../errors.ts';
import type { DisplayState } from './publication-state.ts';
import { recordOf, type PublicationRecord, type RecordRow } from './publications.ts';
import { leasedBy, recordColumns } from './publications.sql.ts';

/** In the order in which a list by state shows them. */
export const displayStates: readonly DisplayState[] = ['failed', 'building', 'pending', 'absent', 'fresh'];

export const publicationSorts = ['state', 'name', 'size', 'age'] as const;
export type PublicationSort = (typeof publicationSorts)[number];

export interface PublicationFilter {
  /** All of them are in the id, or in the failure's reason where `inReasons`; in lower case. */
  readonly words: readonly string[];
  readonly inReasons: boolean;
  readonly state: DisplayState | null;
  /** Without those that anonymous users could not read when they were published. */
  readonly withoutPrivate: boolean;
}

/** Where a record stands in a list: its key by the list's sort, then its id. */
export interface ListPosition {
  readonly key: number;
  readonly id: string;
}

interface ListedPublication {
  readonly record: PublicationRecord;
  readonly position: ListPosition;
}

interface ListOptions {
  readonly sort: PublicationSort;
  readonly after: ListPosition | null;
  readonly offset: number;
  readonly limit: number;
}

export interface PublicationList {
  /** At most `limit` records of tables that are not gone. */
  list(filter: PublicationFilter, options: ListOptions): Promise<ListedPublication[]>;
  /** How many there are of each state, whatever state the filter names. */
  countByState(filter: PublicationFilter): Promise<ReadonlyMap<DisplayState, number>>;
  /** The key that seals positions in lists: random, the same for every process on this state database. */
  positionKey(): Promise<string>;
}

/** `publicationState` of a record, in SQL. */
const shownState = (leaseSeconds: number): string => `CASE
  WHEN life = 'building' AND ${leasedBy(leaseSeconds)} THEN 'building'
  WHEN life = 'published' THEN 'fresh'
  WHEN life IN ('absent', 'gone') THEN 'absent'
  WHEN life = 'failing' THEN 'failed'
  ELSE 'pending' END`;

const sortKeys: Readonly<Record<PublicationSort, string>> = {
  state: `array_position(ARRAY['${displayStates.join("','")}'], shown)::float8`,
  name: '0::float8',
  size: 'coalesce(-blob_bytes, 1)::float8',
  age: 'coalesce(extract(epoch FROM published_at), 0)::float8',
};

/** Ids are compared by their bytes, as the index `publication_by_id` has them. */
const byId = 'id COLLATE "C"';

const found = `life <> 'gone'
  AND NOT EXISTS (SELECT FROM unnest($1::text[]) AS word WHERE strpos(
    lower(id || CASE WHEN $2::boolean THEN ' ' || coalesce(last_error, '') ELSE '' END), word) = 0)
  AND NOT ($3::boolean AND public IS FALSE)`;

export function createPublicationList(pool: pg.Pool, leaseSeconds: number): PublicationList {
  let positionKey: string | null = null;
  const shown = shownState(leaseSeconds);
  const columns = recordColumns(leaseSeconds);
  const listStatement = (sort: PublicationSort): string => {
    const key = sortKeys[sort];
    const after = sort === 'name' ? `${byId} > $6` : `(${key}, ${byId}) > ($5::float8, $6)`;
    return `SELECT ${columns}, ${key} AS key
      FROM (SELECT *, ${shown} AS shown FROM dumper.publication WHERE ${found}) AS p
      WHERE ($4::text IS NULL OR shown = $4) AND ($5::float8 IS NULL OR ${after})
      ORDER BY ${sort === 'name' ? '' : `${key}, `}${byId} LIMIT $7 OFFSET $8`;
  };
  const valuesOf = ({ words, inReasons, withoutPrivate }: PublicationFilter): unknown[] => [
    words,
    inReasons,
    withoutPrivate,
  ];
  return {
    positionKey: async () => (positionKey ??= await readPositionKey(pool)),
    list: async (filter, { sort, after, offset, limit }) => {
      const place = [after?.key ?? null, after?.id ?? null, limit, offset];
      const { rows } = await pool.query<RecordRow & { key: number }>(listStatement(sort), [
        ...valuesOf(filter),
        filter.state,
        ...place,
      ]);
      return rows.map((row) => ({ record: recordOf(row), position: { key: row.key, id: row.id } }));
    },
    countByState: async (filter) => {
      const { rows } = await pool.query<{ shown: DisplayState; count: number }>(
        `SELECT ${shown} AS shown, count(*)::int AS count FROM dumper.publication WHERE ${found} GROUP BY 1`,
        valuesOf(filter),
      );
      return new Map(rows.map((row) => [row.shown, row.count]));
    },
  };
}

/** Made by the first process that asks. */
async function readPositionKey(pool: pg.Pool): Promise<string> {
  const name = 'list positions';
  await pool.query('INSERT INTO dumper.secret (name, value) VALUES ($1, $2) ON CONFLICT (name) DO NOTHING', [
    name,
    randomBytes(32).toString('hex'),
  ]);
  const { rows } = await pool.query<{ value: string }>('SELECT value FROM dumper.secret WHERE name = $1', [
    name,
  ]);
  const value = rows[0]?.value;
  if (value === undefined) throw new DumperError('STATE_UNAVAILABLE', 'the state database keeps no secret');
  return value;
}
