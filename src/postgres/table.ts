/**
 * The name of a DataStore table, and the only way for an identifier to get into SQL (promise P16, no request text becomes
 * SQL).
 *
 * CKAN keeps each tabular resource as one table of schema `public`, named by the resource id. Aliases are views listed in
 * `_table_metadata` (`alias_of`); everything here is about the real table.
 */

declare const resourceIdBrand: unique symbol;
/** The name of an existing DataStore table (never an alias, never unchecked text of a request). */
export type ResourceId = string & { readonly [resourceIdBrand]: true };

declare const sqlBrand: unique symbol;
/** Text that was built from literals of this program and quoted identifiers only. */
export type Sql = string & { readonly [sqlBrand]: true };

/** Quote an identifier that was read from the catalogue. A Postgres identifier may have any character but NUL. */
export function quoteIdentifier(name: string): Sql {
  if (name.includes('\0')) throw new TypeError('an identifier cannot hold NUL');
  return `"${name.replaceAll('"', '""')}"` as Sql;
}

/** Mark a catalogue name as a table's id. Call it only on names that Postgres returned. */
export function asResourceId(name: string): ResourceId {
  return name as ResourceId;
}

/** Compose SQL of literals, quoted identifiers and other `Sql`: request text does not type-check. */
export function sql(parts: TemplateStringsArray, ...values: readonly (Sql | number)[]): Sql {
  return parts.reduce((text, part, index) => text + String(values[index - 1] ?? '') + part) as Sql;
}
