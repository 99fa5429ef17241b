/**
 * Values on their way to Postgres: COPY takes no parameters, so each value becomes a setting of the transaction, given
 * by `set_config` as a parameter and read back by `current_setting` under a fixed name. The statement holds casts to
 * the types of the table's own columns and nothing that a caller wrote (promise P16). The values of a list are one
 * setting, and the number of settings is bounded.
 *
 * `current_setting` is STABLE, so an index on the column still serves the comparison.
 */
import type { CatalogueColumn } from '../../postgres/catalogue.ts';
import { isPythonList, isPythonNumber, type PythonJson } from '../../python-json.ts';
import { sql, type Sql } from '../../postgres/table.ts';
import { rowColumn } from '../../dump/selection.ts';
import { pythonString } from './python-text.ts';
import { Refused, type Parameter } from './refusal.ts';
import type { Comparison, Condition } from './filters.ts';

interface SessionSetting {
  readonly name: string;
  readonly value: string;
}

/** What has been bound so far, and the casts that a probe must try before the first row is sent. */
export interface Binding {
  readonly settings: SessionSetting[];
  readonly probes: Sql[];
}

/** Postgres takes the square of their number. A list of values is one, however long. */
const mostSettings = 512;

/** Bind a text; the result is an SQL expression of type `text`. */
export function bind(binding: Binding, parameter: Parameter, value: string): Sql {
  if (value.includes('\0') || !value.isWellFormed())
    throw new Refused(parameter, 'a character that no table can hold');
  const number = binding.settings.length + 1;
  if (number > mostSettings) throw new Refused(parameter, 'more values than one question may hold');
  binding.settings.push({ name: `dumper.v${number}`, value });
  return sql`current_setting('dumper.v${number}')`;
}

/** A longer one is read once a statement: by the row, reading it would be what a scan spends its time on. */
const longestByRow = 100;

function bindAs(binding: Binding, value: string, type: Sql): Sql {
  const typed = sql`${bind(binding, 'filters', value)}::${type}`;
  binding.probes.push(typed);
  return value.length > longestByRow ? sql`(SELECT ${typed})` : typed;
}

const nothing = sql`false`;

/** A condition as SQL over the scanned row. `indexed`: an index may serve it, which is not so in an alternative. */
export function conditionSql(condition: Condition, binding: Binding, indexed = true): Sql {
  switch (condition.kind) {
    case 'all':
      return joined(condition.of, ' AND ', binding, indexed);
    case 'any':
      return joined(condition.of, ' OR ', binding, indexed && condition.of.length === 1);
    case 'compare':
      return comparisonSql(condition.column, condition.by, condition.value, binding);
    case 'among':
      return amongSql(condition.column, condition.values, binding, indexed);
  }
}

function joined(
  conditions: readonly Condition[],
  word: ' AND ' | ' OR ',
  binding: Binding,
  indexed: boolean,
): Sql {
  const parts = conditions.map((condition) => conditionSql(condition, binding, indexed));
  return sql`(${parts.join(word) as Sql})`;
}

/** Comparing with NULL is never true. */
function comparisonSql(column: CatalogueColumn, by: Comparison, value: PythonJson, binding: Binding): Sql {
  if (value === null && !isText(column)) return nothing;
  return sql`${rowColumn(column)} ${by as Sql} ${literal(column, value, binding)}`;
}

function amongSql(
  column: CatalogueColumn,
  values: readonly PythonJson[],
  binding: Binding,
  indexed: boolean,
): Sql {
  const some = isText(column) ? values : values.filter((value) => value !== null);
  const [only] = some;
  if (only === undefined) return nothing;
  if (values.length === 1) return comparisonSql(column, '=', only, binding);
  const groups = [...textsByType(column, some)].map(([type, texts]) =>
    listSql(column, [...texts], type, { binding, indexed }),
  );
  return groups.length === 1 ? sql`${groups.join('') as Sql}` : sql`(${groups.join(' OR ') as Sql})`;
}

/** The different values of a list by the type that they are compared as: one for all numbers of a number column. */
function textsByType(
  column: CatalogueColumn,
  values: readonly PythonJson[],
): ReadonlyMap<Sql, ReadonlySet<string>> {
  const common = commonNumberType(column, values);
  const groups = new Map<Sql, Set<string>>();
  for (const value of values) {
    const type = common ?? typeOfLiteral(column, value);
    const group = groups.get(type) ?? new Set();
    groups.set(type, group.add(textOfLiteral(column, value)));
  }
  return groups;
}

/** More than these are hashed: an array is compared with each row item by item. */
const mostInArray = 100;

/**
 * Values of one type in one setting, which is read once a statement, not once a row. As an array they let an index
 * serve; as rows they are hashed, so that a row costs the same however many they are. `IS TRUE` keeps the planner from
 * making a join of them, whose order of rows and cost would hang on its guess.
 */
function listSql(
  column: CatalogueColumn,
  texts: readonly string[],
  type: Sql,
  { binding, indexed }: { readonly binding: Binding; readonly indexed: boolean },
): Sql {
  const texted = sql`${bind(binding, 'filters', `{${texts.map(quotedItem).join(',')}}`)}::text[]`;
  const isById = indexed && column.name === '_id' && wholeTypes.has(type);
  // An array of arrays would be one array of all their items.
  if (column.json === 'plain' && (texts.length <= mostInArray || isById)) {
    binding.probes.push(sql`${texted}::${type}[]`);
    return sql`${rowColumn(column)} = ANY ((SELECT ${texted}::${type}[])::${type}[])`;
  }
  const rows = sql`unnest(${texted}) AS v(item)`;
  binding.probes.push(sql`(SELECT count(v.item::${type}) FROM ${rows})`);
  return sql`(${rowColumn(column)} = ANY (SELECT v.item::${type} FROM ${rows})) IS TRUE`;
}

/** Each has an implicit cast to those behind it, and none to those before it (Postgres manual, `pg_cast`). */
const numberTypes: readonly string[] = ['int2', 'int4', 'int8', 'numeric', 'float4', 'float8'];
const wholeTypes: ReadonlySet<string> = new Set(['int2', 'int4', 'int8']);

/**
 * The type that Postgres gives a number column and the constants of a list beside it (manual, 10.5): the furthest among
 * them, and texts are read as that. Null where it finds none and compares each value by itself.
 */
function commonNumberType(column: CatalogueColumn, values: readonly PythonJson[]): Sql | null {
  let furthest = numberTypes.indexOf(column.baseType);
  if (furthest === -1) return null;
  for (const value of values) {
    if (typeof value === 'string') continue;
    if (!isPythonNumber(value)) return null;
    furthest = Math.max(furthest, numberTypes.indexOf(numberType(value.text, value.kind)));
  }
  return (numberTypes[furthest] ?? null) as Sql | null;
}

/** CKAN compares a column of type `text` with Python's `str` of the value, whatever that is. */
function isText(column: CatalogueColumn): boolean {
  return column.type === 'text' && column.name !== '_id';
}

/** A value with the type that its literal would have in SQL: text takes the column's. */
function literal(column: CatalogueColumn, value: PythonJson, binding: Binding): Sql {
  const type = typeOfLiteral(column, value);
  const text = textOfLiteral(column, value);
  return isText(column) ? bind(binding, 'filters', text) : bindAs(binding, text, type);
}

function textOfLiteral(column: CatalogueColumn, value: PythonJson): string {
  if (isText(column)) return pythonString(value);
  if (isPythonNumber(value)) return value.text;
  return isPythonList(value) ? arrayText(value) : String(value);
}

function typeOfLiteral(column: CatalogueColumn, value: PythonJson): Sql {
  if (isText(column)) return sql`text`;
  if (typeof value === 'string') return column.castType;
  if (typeof value === 'boolean') return sql`boolean`;
  if (isPythonNumber(value)) return numberType(value.text, value.kind);
  if (isPythonList(value) && column.baseType.startsWith('_')) return column.castType;
  throw new Refused('filters', 'a value does not fit its column');
}

/** How Postgres types a numeric constant (manual, 4.1.2.6). */
function numberType(text: string, kind: 'int' | 'float'): Sql {
  if (!/^-?\d/.test(text)) return sql`float8`;
  if (kind === 'float') return sql`numeric`;
  const number = BigInt(text);
  if (number === BigInt.asIntN(32, number)) return sql`int4`;
  return number === BigInt.asIntN(64, number) ? sql`int8` : sql`numeric`;
}

/** The text of an array (Postgres manual, 8.15.6). */
function arrayText(items: readonly PythonJson[]): string {
  return `{${items.map(arrayItem).join(',')}}`;
}

function arrayItem(item: PythonJson): string {
  if (item === null) return 'NULL';
  if (isPythonList(item)) return arrayText(item);
  if (typeof item === 'string') return quotedItem(item);
  if (isPythonNumber(item)) return item.text;
  if (typeof item === 'boolean') return String(item);
  throw new Refused('filters', 'a value does not fit its column');
}

function quotedItem(text: string): string {
  return `"${text.replaceAll(/["\\]/g, '\\$&')}"`;
}
