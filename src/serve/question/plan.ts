/**
 * A question becomes a plan: the settings that carry its values, a probe that finds bad ones before the first row, and
 * one COPY. The shapes of all statements are closed: identifiers and types come from the catalogue, the rest is fixed
 * text (P16, no text of a request becomes SQL).
 *
 * Differences from CKAN, all repairs: one query instead of pages, `limit=0` as for an empty table, `distinct` over all
 * rows, rows with equal sort keys in `_id` order.
 */
import type { CkanProfile } from '../../ckan/profile.ts';
import { formatTable } from '../../format.ts';
import {
  cell,
  commaList,
  isApart,
  jsonCell,
  outputColumn,
  rowColumn,
  shownColumns,
  tableName,
} from '../../dump/selection.ts';
import type { OutputColumn } from '../../dump/formatter.ts';
import { sql, type Sql } from '../../postgres/table.ts';
import type { AskedTable, CatalogueColumn, LivePlan, Question, Refusal } from './question.ts';
import { distinctCell, isSortable } from './distinct.ts';
import { readFilters, type Columns } from './filters.ts';
import { orRefusal, Refused } from './refusal.ts';
import { readSearch, type Search } from './search.ts';
import { readSort, type SortKey } from './sorting.ts';
import { bind, conditionSql, type Binding } from './values.ts';

export interface PlanOptions {
  /** The configuration of a search that names none (`ckan.datastore.default_fts_lang`). */
  readonly ftsLanguage: string;
}

/** One column of the answer: what is selected, what makes rows distinct, how it is written. */
interface Selected {
  readonly expression: Sql;
  readonly key: Sql;
  /** Its JSON, where the text does not tell it: a cell behind those of all columns. */
  readonly json: Sql | null;
  readonly name: string;
  readonly output: OutputColumn;
}

/** Plan a live answer, or refuse: unknown columns, bad values, an impossible order. */
export function planLive(
  question: Question,
  table: AskedTable,
  profile: CkanProfile,
  options: PlanOptions,
): LivePlan | Refusal {
  return orRefusal(() => plan(question, table, profile, options));
}

function plan(question: Question, table: AskedTable, profile: CkanProfile, options: PlanOptions): LivePlan {
  const binding: Binding = { settings: [], probes: [] };
  const shown = shownColumns(table.columns);
  const columns: Columns = new Map(shown.map((column) => [column.name, column]));
  const search = readSearch(question, table, columns, { profile, ...options }, binding);
  const every = [
    ...shown.map((column) => selectedColumn(column, question, profile)),
    ...search.ranks.map(selectedRank),
  ];
  const asked = question.fields === undefined ? every : selectNamed(question.fields, every);
  const { names } = formatTable[question.format];
  const rowsHold = asked.length === 0 ? every : asked;
  const selected = names === 'keys' ? firstOfEachName(rowsHold) : rowsHold;
  const conditions = [...search.where, ...filterSql(question, columns, profile, binding)];
  const body = [
    sql`SELECT ${commaList(cellsOf(selected))}`,
    sql`FROM ${commaList([sql`${tableName(table.id)} AS d`, ...search.from])}`,
    ...(conditions.length > 0 ? [sql`WHERE ${conditions.join(' AND ') as Sql}`] : []),
    ...(question.distinct ? [sql`GROUP BY ${commaList(selected.map((column) => column.key))}`] : []),
    ...orderSql(readSort(question.sort), { question, columns, search, selected }),
    ...limitSql(question, binding),
  ];
  return {
    kind: 'plan',
    settings: binding.settings,
    probe: probeSql(binding.probes),
    copy: sql`COPY (${body.join(' ') as Sql}) TO STDOUT (FORMAT csv)`,
    columns: selected.map((column) => column.output),
    // `fields=` names none, yet CSV and JSON carry every column below an empty head; a row that names them cannot.
    head: (asked.length === 0 && names === 'head' ? asked : selected).map((column) => column.output),
  };
}

/** Postgres selects at most 1,664 columns (manual, appendix K), so more values are tried as rows of them. */
const probesInRow = 1000;

function probeSql(probes: readonly Sql[]): Sql | null {
  if (probes.length === 0) return null;
  if (probes.length <= probesInRow) return sql`SELECT ${commaList(probes)}`;
  const rows = Array.from({ length: Math.ceil(probes.length / probesInRow) }, (_, index) =>
    commaList(probes.slice(index * probesInRow, (index + 1) * probesInRow)),
  );
  return sql`SELECT ${commaList(rows.map((row) => sql`ROW(${row})`))}`;
}

function cellsOf(selected: readonly Selected[]): Sql[] {
  return [...selected.map(({ expression }) => expression), ...selected.flatMap(({ json }) => json ?? [])];
}

function selectedColumn(column: CatalogueColumn, question: Question, profile: CkanProfile): Selected {
  const named = {
    name: column.name,
    output: outputColumn(column),
    json: isApart(column) ? jsonCell(column) : null,
  };
  if (question.distinct) return { ...named, ...distinctCell(column, profile) };
  return { ...named, expression: cell(column), key: rowColumn(column) };
}

function selectedRank({ expression, output }: Search['ranks'][number]): Selected {
  return { expression, key: expression, json: null, name: output.name, output };
}

/** A table's own column goes before a rank of the same name. */
function selectNamed(names: readonly string[], every: readonly Selected[]): Selected[] {
  return names.map((name) => {
    const selected = every.find((column) => column.name === name);
    if (selected === undefined) throw new Refused('fields', 'no such column in this table');
    return selected;
  });
}

/** The keys of an object are unique (RFC 8259, 4). */
function firstOfEachName(selected: readonly Selected[]): Selected[] {
  const names = new Set<string>();
  return selected.filter(({ name }) => !names.has(name) && names.add(name));
}

function filterSql(question: Question, columns: Columns, profile: CkanProfile, binding: Binding): Sql[] {
  const condition = readFilters(question.filters, columns, profile);
  return condition === null ? [] : [conditionSql(condition, binding)];
}

interface Ordering {
  readonly question: Question;
  readonly columns: Columns;
  readonly search: Search;
  readonly selected: readonly Selected[];
}

/** Equal keys come in `_id` order, so that an answer is the same twice. A table without `_id` comes as it is stored. */
function orderSql(keys: readonly SortKey[], ordering: Ordering): Sql[] {
  const hasId = ordering.columns.has('_id');
  const asked = hasId ? keys : keys.filter((key) => key.name !== '_id');
  const isTied = hasId && !asked.some((key) => key.name === '_id');
  const plain = asked.map((key) => sql`${sortedBy(key, ordering)}${direction(key)}`);
  const ofRows = commaList([...plain, ...(isTied ? [sql`d._id`] : [])]);
  if (plain.length === 0 && !isTied) return [];
  if (!ordering.question.distinct) return [sql`ORDER BY ${ofRows}`];
  return [sql`ORDER BY ${commaList(distinctOrder(asked, ofRows, ordering))}`];
}

/**
 * Of the rows that became one, the one that comes first decides; while only what they share tells, its `_id` is the
 * least, or last. Timestamps that are shown alike need not be the same.
 */
function distinctOrder(keys: readonly SortKey[], ofRows: Sql, ordering: Ordering): Sql[] {
  const ofFirst = (expression: Sql): Sql => sql`(array_agg(${expression} ORDER BY ${ofRows}))[1]`;
  const parts: Sql[] = [];
  let isTold = true;
  for (const key of keys) {
    const chosen = ordering.selected.find(
      ({ name, output }) => name === key.name && output.type !== 'timestamp',
    );
    if (chosen === undefined && isTold && key.name === '_id')
      return [...parts, sql`${key.descending ? sql`max` : sql`min`}(d._id)${direction(key)}`];
    isTold &&= chosen !== undefined;
    if (chosen !== undefined) parts.push(sql`${chosen.key}${direction(key)}`);
    else parts.push(...firstKey(sortedBy(key, ordering), key, ordering, ofFirst));
  }
  if (!ordering.columns.has('_id') || keys.some((key) => key.name === '_id')) return parts;
  return [...parts, isTold ? sql`min(d._id)` : ofFirst(sql`d._id`)];
}

/** An aggregate of arrays would be one array of all their items: each goes in a row of its own, behind whether it is there. */
function firstKey(
  expression: Sql,
  key: SortKey,
  { columns }: Ordering,
  ofFirst: (expression: Sql) => Sql,
): Sql[] {
  const isPlain = (columns.get(key.name)?.json ?? 'plain') === 'plain';
  if (isPlain) return [sql`${ofFirst(expression)}${direction(key)}`];
  const isNull = ofFirst(sql`num_nulls(${expression})`);
  return [
    sql`${isNull} ${key.nulls === 'first' ? sql`DESC` : sql`ASC`}`,
    sql`${ofFirst(sql`ROW(${expression})`)}${direction(key)}`,
  ];
}

function direction({ descending, nulls }: SortKey): Sql {
  return sql` ${descending ? sql`DESC` : sql`ASC`} ${nulls === 'first' ? sql`NULLS FIRST` : sql`NULLS LAST`}`;
}

/** What a row is sorted by: a column that has an order, or a rank. */
function sortedBy(key: SortKey, { columns, search }: Ordering): Sql {
  const column = columns.get(key.name);
  if (column !== undefined && !isSortable(column))
    throw new Refused('sort', 'values of this column have no order');
  const rank = search.ranks.find(({ output }) => output.name === key.name);
  const expression = column === undefined ? rank?.expression : rowColumn(column);
  if (expression === undefined) throw new Refused('sort', 'no such column in this table');
  return expression;
}

/** CKAN looks at the sign only when it searches, so behind existence and permission. */
function limitSql(question: Question, binding: Binding): Sql[] {
  if ((question.limit ?? 0) < 0) throw new Refused('limit', 'Must be a natural number');
  if (question.offset < 0) throw new Refused('offset', 'Must be a natural number');
  if (question.offset === Infinity) throw new Refused('offset', 'Number too large');
  const bound = (word: Sql, parameter: 'limit' | 'offset', value: number): Sql =>
    sql`${word} ${bind(binding, parameter, String(value))}::int8`;
  return [
    ...(question.limit === undefined ? [] : [bound(sql`LIMIT`, 'limit', question.limit)]),
    ...(question.offset === 0 ? [] : [bound(sql`OFFSET`, 'offset', question.offset)]),
  ];
}
