/**
 * In which order the rows of an answer come. Equal keys come in `_id` order, so that an answer is the same twice; a table
 * without `_id` comes as it is stored.
 *
 * Each column is a key once, by its first mention: behind it a second one decides nothing. So the statement grows with
 * the columns of the table, whatever a caller writes (promise P16).
 */
import { commaList, rowColumn } from '../../dump/selection.ts';
import { sql, type Sql } from '../../postgres/table.ts';
import type { CatalogueColumn, Question } from './question.ts';
import { isSortable } from './distinct.ts';
import type { Columns } from './filters.ts';
import { Refused } from './refusal.ts';
import type { Search } from './search.ts';
import { readSort, type SortKey } from './sorting.ts';

interface Ordering {
  readonly question: Question;
  /** Every column of the table, internal ones included. */
  readonly all: readonly CatalogueColumn[];
  readonly columns: Columns;
  readonly search: Search;
  readonly selected: readonly OrderedColumn[];
}

/** A column of the answer, as far as it tells what rows that became one share. */
interface OrderedColumn {
  readonly name: string;
  readonly key: Sql;
  readonly output: { readonly type: string };
}

export interface Order {
  /** What ORDER BY holds; none: no order at all. */
  readonly by: readonly Sql[];
  /** A column of the scanned row that must hold its place in an order; null: not needed. */
  readonly place: { readonly name: Sql; readonly by: readonly Sql[] } | null;
}

/** Postgres sorts by no more (manual, appendix K: columns of a result). */
const mostKeys = 1664;

export function readOrder(ordering: Ordering): Order {
  const hasId = ordering.columns.has('_id');
  const keys = deciding(readSort(ordering.question.sort)).filter((key) => hasId || key.name !== '_id');
  if (keys.length > mostKeys) throw new Refused('sort', 'too many columns');
  const ranks = new Map(ordering.search.ranks.map((rank) => [rank.output.name, rank.expression]));
  const asked = keys.map((key) => sql`${sortedBy(key, ordering.columns, ranks)}${direction(key)}`);
  const isTied = hasId && !keys.some((key) => key.name === '_id');
  const by = isTied ? [...asked, sql`d._id`] : asked;
  return ordering.question.distinct && by.length > 0
    ? distinctOrder(keys, by, ordering)
    : { by, place: null };
}

function deciding(keys: readonly SortKey[]): SortKey[] {
  const first = new Map<string, SortKey>();
  for (const key of keys) if (!first.has(key.name)) first.set(key.name, key);
  return [...first.values()];
}

/**
 * Of the rows that became one, the one that comes first decides. While only what they share tells, its `_id` is the
 * least, or last; else every row is given its place once, and the least place decides. Timestamps that are shown alike
 * need not be the same.
 */
function distinctOrder(keys: readonly SortKey[], by: readonly Sql[], ordering: Ordering): Order {
  const shared = new Map(
    ordering.selected
      .filter(({ output }) => output.type !== 'timestamp')
      .map((column) => [column.name, column.key]),
  );
  const parts: Sql[] = [];
  for (const key of keys) {
    const expression = shared.get(key.name);
    if (expression !== undefined) parts.push(sql`${expression}${direction(key)}`);
    else if (key.name === '_id') {
      const last = key.descending ? sql`max` : sql`min`;
      return { by: [...parts, sql`${last}(d._id)${direction(key)}`], place: null };
    } else {
      const name = freeName(ordering.all);
      return { by: [sql`min(d.${name})`], place: { name, by } };
    }
  }
  const isTied = by.length > keys.length;
  return { by: isTied ? [...parts, sql`min(d._id)`] : parts, place: null };
}

/** `place`, or longer where the table has a column of that name. */
function freeName(columns: readonly CatalogueColumn[]): Sql {
  const taken = new Set(columns.map(({ name }) => name));
  let name = sql`place`;
  while (taken.has(name)) name = sql`${name}_`;
  return name;
}

function direction({ descending, nulls }: SortKey): Sql {
  return sql` ${descending ? sql`DESC` : sql`ASC`} ${nulls === 'first' ? sql`NULLS FIRST` : sql`NULLS LAST`}`;
}

/** What a row is sorted by: a column that has an order, or a rank. */
function sortedBy(key: SortKey, columns: Columns, ranks: ReadonlyMap<string, Sql>): Sql {
  const column = columns.get(key.name);
  if (column !== undefined && !isSortable(column))
    throw new Refused('sort', 'values of this column have no order');
  const expression = column === undefined ? ranks.get(key.name) : rowColumn(column);
  if (expression === undefined) throw new Refused('sort', 'no such column in this table');
  return expression;
}

export function orderBy(parts: readonly Sql[]): Sql {
  return sql`ORDER BY ${commaList(parts)}`;
}
