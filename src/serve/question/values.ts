/**
 * Values on their way to Postgres: COPY takes no parameters, so each value becomes a setting of the transaction, given
 * by `set_config` as a parameter and read back by `current_setting` under a fixed name. The statement holds casts to
 * the types of the table's own columns and nothing that a caller wrote (promise P16). Many values of one type are one
 * array.
 *
 * `current_setting` is STABLE, so an index on the column still serves the comparison.
 */
import type { CatalogueColumn } from '../../postgres/catalogue.ts';
import { isPythonList, isPythonNumber, type PythonJson } from '../../python-json.ts';
import { commaList } from '../../dump/selection.ts';
import { sql, type Sql } from '../../postgres/table.ts';
import { rowColumn } from '../../dump/selection.ts';
import { pythonString } from './python-text.ts';
import { Refused, type Parameter } from './refusal.ts';
import type { Comparison, Condition } from './filters.ts';

export interface SessionSetting {
  readonly name: string;
  readonly value: string;
}

/** What has been bound so far, and the casts that a probe must try before the first row is sent. */
export interface Binding {
  readonly settings: SessionSetting[];
  readonly probes: Sql[];
}

/** Bind a text; the result is an SQL expression of type `text`. */
export function bind(binding: Binding, parameter: Parameter, value: string): Sql {
  if (value.includes('\0') || !value.isWellFormed())
    throw new Refused(parameter, 'a character that no table can hold');
  const number = binding.settings.length + 1;
  binding.settings.push({ name: `dumper.v${number}`, value });
  return sql`current_setting('dumper.v${number}')`;
}

function bindAs(binding: Binding, value: string, type: Sql): Sql {
  const typed = sql`${bind(binding, 'filters', value)}::${type}`;
  binding.probes.push(typed);
  return typed;
}

/**
 * Several values of one type as an array, in one setting: a setting for each would cost Postgres the square of their
 * number. Each item is cast from text, as it is alone.
 */
function bindList(binding: Binding, values: readonly string[], type: Sql): Sql {
  const items = values.map(quotedItem).join(',');
  return bindAs(binding, `{${items}}`, sql`text[]::${type}[]`);
}

const nothing = sql`false`;

/** A condition as SQL over the scanned row. */
export function conditionSql(condition: Condition, binding: Binding): Sql {
  switch (condition.kind) {
    case 'all':
      return joined(condition.of, ' AND ', binding);
    case 'any':
      return joined(condition.of, ' OR ', binding);
    case 'compare':
      return comparisonSql(condition.column, condition.by, condition.value, binding);
    case 'among':
      return amongSql(condition.column, condition.values, binding);
  }
}

function joined(conditions: readonly Condition[], word: ' AND ' | ' OR ', binding: Binding): Sql {
  return sql`(${conditions.map((condition) => conditionSql(condition, binding)).join(word) as Sql})`;
}

/** Comparing with NULL is never true. */
function comparisonSql(column: CatalogueColumn, by: Comparison, value: PythonJson, binding: Binding): Sql {
  if (value === null && !isText(column)) return nothing;
  return sql`${rowColumn(column)} ${by as Sql} ${literal(column, value, [value], binding)}`;
}

function amongSql(column: CatalogueColumn, values: readonly PythonJson[], binding: Binding): Sql {
  const some = isText(column) ? values : values.filter((value) => value !== null);
  if (some.length === 0) return nothing;
  const type = typeOfAll(column, some);
  if (type === null) {
    const list = commaList(some.map((value) => literal(column, value, some, binding)));
    return sql`${rowColumn(column)} IN (${list})`;
  }
  const texts = some.map((value) => textOfLiteral(column, value));
  return sql`${rowColumn(column)} = ANY ((SELECT ${bindList(binding, texts, type)})::${type}[])`;
}

/**
 * The one type of several values: as an array behind SELECT they are read once a statement, and not once a row. Null
 * where Postgres must find a common type, or the values are arrays themselves.
 */
function typeOfAll(column: CatalogueColumn, values: readonly PythonJson[]): Sql | null {
  if (values.length < 2 || column.json !== 'plain') return null;
  const [type, ...others] = new Set(values.map((value) => typeOfLiteral(column, value, values)));
  return others.length === 0 ? (type ?? null) : null;
}

/** CKAN compares a column of type `text` with Python's `str` of the value, whatever that is. */
function isText(column: CatalogueColumn): boolean {
  return column.type === 'text' && column.name !== '_id';
}

/** A value with the type that its literal would have in SQL: text takes the column's. */
function literal(
  column: CatalogueColumn,
  value: PythonJson,
  beside: readonly PythonJson[],
  binding: Binding,
): Sql {
  const type = typeOfLiteral(column, value, beside);
  const text = textOfLiteral(column, value);
  return isText(column) ? bind(binding, 'filters', text) : bindAs(binding, text, type);
}

function textOfLiteral(column: CatalogueColumn, value: PythonJson): string {
  if (isText(column)) return pythonString(value);
  if (isPythonNumber(value)) return value.text;
  return isPythonList(value) ? arrayText(value) : String(value);
}

function typeOfLiteral(column: CatalogueColumn, value: PythonJson, beside: readonly PythonJson[]): Sql {
  if (isText(column)) return sql`text`;
  if (typeof value === 'string') return typeOfText(column, beside);
  if (typeof value === 'boolean') return sql`boolean`;
  if (isPythonNumber(value)) return numberType(value.text, value.kind);
  if (isPythonList(value) && column.baseType.startsWith('_')) return column.castType;
  throw new Refused('filters', 'a value does not fit its column');
}

/** In a list, Postgres gives whole-number columns, numbers and texts one common type. */
function typeOfText(column: CatalogueColumn, beside: readonly PythonJson[]): Sql {
  const isWhole = ['int2', 'int4', 'int8'].includes(column.baseType);
  return isWhole &&
    beside.some((value) => isPythonNumber(value) && numberType(value.text, value.kind) === 'numeric')
    ? sql`numeric`
    : column.castType;
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
