/**
 * What the `filters` parameter means: a tree of conditions over the table's own columns, by the rules of the version.
 *
 * CKAN 2.11 knows `{column: value}` and `{column: [values]}`. CKAN 2.12 adds `gt gte lt lte eq in`, `$and`, `$or` and
 * lists of filters (any of them), at most 10 deep and 100 operations (facts: its recorded answers and error texts).
 */
import type { CkanProfile } from '../../ckan/profile.ts';
import type { CatalogueColumn } from '../../postgres/catalogue.ts';
import { isPythonList, isPythonObject, type PythonJson, type PythonObject } from '../../python-json.ts';
import { Refused } from './refusal.ts';

export type Comparison = '=' | '>' | '>=' | '<' | '<=';

export type Condition =
  | { readonly kind: 'all'; readonly of: readonly Condition[] }
  | { readonly kind: 'any'; readonly of: readonly Condition[] }
  | {
      readonly kind: 'compare';
      readonly column: CatalogueColumn;
      readonly by: Comparison;
      readonly value: PythonJson;
    }
  | { readonly kind: 'among'; readonly column: CatalogueColumn; readonly values: readonly PythonJson[] };

/** Columns that may be named, by name. */
export type Columns = ReadonlyMap<string, CatalogueColumn>;

/** The condition of all filters, null where there is none; throws `Refused`. */
export function readFilters(filters: PythonJson, columns: Columns, profile: CkanProfile): Condition | null {
  if (filters === null) return null;
  if (!isPythonObject(filters) && !isPythonList(filters))
    throw new Refused('filters', 'Must be a JSON object');
  if (isPythonObject(filters) && filters.size === 0) return null;
  return profile.filterOperators
    ? readOperatorFilters(filters, columns)
    : readSimpleFilters(filters, columns);
}

function readSimpleFilters(
  filters: PythonObject | readonly PythonJson[],
  columns: Columns,
): Condition | null {
  if (isPythonList(filters)) {
    // A list of empty objects disappears in CKAN's own flattening of nested values.
    if (filters.length > 0 && filters.every((item) => isPythonObject(item) && item.size === 0)) return null;
    throw new Refused('filters', 'Must be a JSON object');
  }
  const conditions = [...filters].map(([name, value]): Condition => {
    const column = columnNamed(name, columns);
    const isArray = column.baseType.startsWith('_');
    return isPythonList(value) && !isArray
      ? { kind: 'among', column, values: value }
      : { kind: 'compare', column, by: '=', value };
  });
  return { kind: 'all', of: conditions };
}

function columnNamed(name: string, columns: Columns): CatalogueColumn {
  const column = columns.get(name);
  if (column === undefined) throw new Refused('filters', 'no such column in this table');
  return column;
}

const deepest = 10;
const mostOperations = 100;

/** What reading one `filters` parameter needs on its way down. */
interface FilterReading {
  readonly columns: Columns;
  operations: number;
}

function readOperatorFilters(
  filters: PythonObject | readonly PythonJson[],
  columns: Columns,
): Condition | null {
  const reading: FilterReading = { columns, operations: 0 };
  const condition = isPythonList(filters)
    ? counted(reading, { kind: 'any', of: readMembers(filters, 'any', 1, reading) })
    : readTop(filters, reading);
  if (
    condition === null ||
    (condition.kind !== 'compare' && condition.kind !== 'among' && condition.of.length === 0)
  ) {
    throw new Refused('filters', 'A list of filters must not be empty');
  }
  return condition;
}

function readTop(filters: PythonObject, reading: FilterReading): Condition | null {
  refuseTooMany(filters.size);
  const conditions = [...filters].flatMap(([key, value]): readonly Condition[] => {
    const operator = operatorOf(key, value);
    if (operator === null) return [readColumn(key, value, reading)];
    const members = readMembers(operator.members, operator.kind, 1, reading);
    if (members.length === 0 || operator.kind === 'all') return members;
    return [counted(reading, { kind: operator.kind, of: members })];
  });
  const [only] = conditions;
  return conditions.length > 1 ? counted(reading, { kind: 'all', of: conditions }) : (only ?? null);
}

/** `$and` and `$or`; null for a column, also one whose own `$` is doubled. */
function operatorOf(
  key: string,
  value: PythonJson,
): { readonly kind: 'all' | 'any'; readonly members: readonly PythonJson[] } | null {
  if (!key.startsWith('$') || key.startsWith('$$')) return null;
  if (key !== '$or' && key !== '$and')
    throw new Refused('filters', 'Unknown operators (must be one of $or, $and)');
  if (!isPythonList(value))
    throw new Refused('filters', 'Filter operations must be defined as a list of dicts');
  return { kind: key === '$and' ? 'all' : 'any', members: value };
}

/** The objects of a list; one nested in an operator of its own kind is flattened into it, so that each counts only once. */
function readMembers(
  members: readonly PythonJson[],
  kind: 'all' | 'any',
  depth: number,
  reading: FilterReading,
): readonly Condition[] {
  if (depth >= deepest) throw new Refused('filters', 'Maximum nesting depth for filter operations reached');
  if (depth === 1) refuseTooMany(members.length);
  const conditions = members.flatMap((member) => {
    if (!isPythonObject(member))
      throw new Refused('filters', 'Filter operation members must be dictionaries');
    return readMember(member, depth, reading) ?? [];
  });
  return flattened(conditions, kind);
}

function readMember(member: PythonObject, depth: number, reading: FilterReading): Condition | null {
  refuseTooMany(member.size);
  const conditions = [...member].flatMap(([key, value]): readonly Condition[] => {
    const operator = operatorOf(key, value);
    if (operator === null) return [readColumn(key, value, reading)];
    const nested = readMembers(operator.members, operator.kind, depth + 1, reading);
    return nested.length === 0 ? [] : [counted(reading, { kind: operator.kind, of: nested })];
  });
  const [only] = conditions;
  if (conditions.length > 1) return counted(reading, { kind: 'all', of: flattened(conditions, 'all') });
  return only ?? null;
}

function flattened(conditions: readonly Condition[], kind: 'all' | 'any'): readonly Condition[] {
  return conditions.flatMap((condition) => (condition.kind === kind ? condition.of : [condition]));
}

function counted(reading: FilterReading, condition: Condition): Condition {
  reading.operations += 1;
  if (reading.operations > mostOperations) refuseTooMany(reading.operations);
  return condition;
}

function refuseTooMany(size: number): void {
  if (size >= mostOperations) throw new Refused('filters', 'Maximum number of filter operations exceeded');
}

function readColumn(key: string, value: PythonJson, reading: FilterReading): Condition {
  const column = columnNamed(key.startsWith('$$') ? key.slice(1) : key, reading.columns);
  if (isPythonObject(value)) return readComparisons(column, value, reading);
  if (isPythonList(value)) return readAlternatives(column, value, reading);
  return counted(reading, { kind: 'compare', column, by: '=', value });
}

function readComparisons(
  column: CatalogueColumn,
  comparisons: PythonObject,
  reading: FilterReading,
): Condition {
  if (comparisons.size === 0) throw new Refused('filters', 'A filter operation must not be empty');
  const conditions = [...comparisons].map(([operator, value]) =>
    counted(reading, readComparison(column, operator, value)),
  );
  const [only] = conditions;
  return conditions.length === 1 && only ? only : counted(reading, { kind: 'all', of: conditions });
}

const comparisons: ReadonlyMap<string, Comparison> = new Map<string, Comparison>([
  ['eq', '='],
  ['gt', '>'],
  ['gte', '>='],
  ['lt', '<'],
  ['lte', '<='],
]);

function readComparison(column: CatalogueColumn, operator: string, value: PythonJson): Condition {
  if (operator === 'in') return { kind: 'among', column, values: iterated(value) };
  const by = comparisons.get(operator);
  if (by === undefined) throw new Refused('filters', 'Unknown filter operation');
  return { kind: 'compare', column, by, value };
}

/** What a Python loop over the value yields: a text's characters, an object's keys. */
function iterated(value: PythonJson): readonly PythonJson[] {
  if (isPythonList(value)) return value;
  if (typeof value === 'string') return [...value];
  if (isPythonObject(value)) return [...value.keys()];
  throw new Refused('filters', 'The value of "in" must be a list');
}

function readAlternatives(
  column: CatalogueColumn,
  values: readonly PythonJson[],
  reading: FilterReading,
): Condition {
  const operations = values.filter(isPythonObject);
  const plainValues = values.filter((value) => !isPythonObject(value));
  if (operations.length === 0) return counted(reading, { kind: 'among', column, values });
  const conditions = operations.map((operation) => readComparisons(column, operation, reading));
  if (plainValues.length > 0)
    conditions.push(counted(reading, { kind: 'among', column, values: plainValues }));
  return counted(reading, { kind: 'any', of: conditions });
}
