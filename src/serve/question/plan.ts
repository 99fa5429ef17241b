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
import { distinctCell } from './distinct.ts';
import type { AskedTable, CatalogueColumn, LivePlan, Question, Refusal } from './question.ts';
import { readFilters, type Columns } from './filters.ts';
import { orderBy, readOrder, type Order } from './order.ts';
import { orRefusal, Refused, type Parameter } from './refusal.ts';
import { readSearch, type Search } from './search.ts';
import { bind, conditionSql, type Binding } from './values.ts';

interface PlanOptions {
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
  const every = everyColumn(shown, search, question, profile);
  const asked = question.fields === undefined ? every : selectNamed(question.fields, every);
  const { names } = formatTable[question.format];
  const rowsHold = asked.length === 0 ? every : asked;
  const selected = names === 'keys' ? firstOfEachName(rowsHold) : rowsHold;
  const filters = filterSql(question, columns, profile, binding);
  const order = readOrder({ question, all: table.columns, columns, search, selected });
  const cells = cellsOf(selected);
  if (cells.length > mostColumns)
    throw new Refused(question.fields === undefined ? 'q' : 'fields', 'too many columns');
  const groups = question.distinct ? [...new Set(selected.map((column) => column.key))] : [];
  refuseTooLong({
    q: [...search.from, ...search.where],
    filters,
    fields: cells,
    distinct: groups,
    sort: [...order.by, ...(order.place?.by ?? [])],
  });
  const limit = limitSql(question, binding);
  const body = [
    sql`SELECT ${commaList(cells)}`,
    ...scannedRows(table, search, [...search.where, ...filters], order),
    ...(groups.length > 0 ? [sql`GROUP BY ${commaList(groups)}`] : []),
    ...(order.by.length > 0 ? [orderBy(order.by)] : []),
    ...limit,
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

/** Each part grows with the columns of the table only; all together may still be more than Postgres should plan. */
const longestStatement = 512 * 1024;

/** Before anything is joined; names the parameter that takes the most. */
function refuseTooLong(parts: Partial<Record<Parameter, readonly Sql[]>>): void {
  const lengths = (Object.entries(parts) as [Parameter, readonly Sql[]][])
    .map(([parameter, texts]) => ({ parameter, length: texts.reduce((sum, text) => sum + text.length, 0) }))
    .toSorted((one, other) => other.length - one.length);
  const [longest] = lengths;
  if (longest !== undefined && lengths.reduce((sum, { length }) => sum + length, 0) > longestStatement)
    throw new Refused(longest.parameter, 'too much for one question');
}

/** The rows that are asked for, as `d` with the queries beside them; with the place of each where the order needs it. */
function scannedRows(
  table: AskedTable,
  search: Search,
  conditions: readonly Sql[],
  { place }: Order,
): readonly Sql[] {
  const rows = [
    sql`FROM ${commaList([sql`${tableName(table.id)} AS d`, ...search.from])}`,
    ...(conditions.length > 0 ? [sql`WHERE ${conditions.join(' AND ') as Sql}`] : []),
  ];
  if (place === null) return rows;
  const placed = sql`row_number() OVER (${orderBy(place.by)}) AS ${place.name}`;
  return [
    sql`FROM ${commaList([sql`(SELECT d.*, ${placed} ${rows.join(' ') as Sql}) AS d`, ...search.from])}`,
  ];
}

/** Postgres selects no more (manual, appendix K). */
const mostColumns = 1664;
/** So more values are tried as rows of them. */
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

/**
 * The table's columns, then the ranks. One that is called like a column takes its place, and keeps its data dictionary:
 * so it is in CKAN's own mapping of names to types.
 */
function everyColumn(
  shown: readonly CatalogueColumn[],
  search: Search,
  question: Question,
  profile: CkanProfile,
): readonly Selected[] {
  const every = new Map(shown.map((column) => [column.name, selectedColumn(column, question, profile)]));
  for (const { expression, output } of search.ranks) {
    const { name } = output;
    const info = every.get(name)?.output.field['info'];
    const field = info === undefined ? output.field : { ...output.field, info };
    every.set(name, { expression, key: expression, json: null, name, output: { ...output, field } });
  }
  return [...every.values()];
}

/** Each repeated name is a whole column of the answer again, at no cost to who asks. */
const mostRepeated = 100;

function selectNamed(names: readonly string[], every: readonly Selected[]): Selected[] {
  if (names.length > mostColumns) throw new Refused('fields', 'too many columns');
  if (names.length - new Set(names).size > mostRepeated)
    throw new Refused('fields', 'columns are named again too often');
  const known = new Map(every.map((column) => [column.name, column]));
  return names.map((name) => {
    const selected = known.get(name);
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
