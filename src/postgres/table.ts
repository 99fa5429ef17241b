/**
 * The name of a DataStore table, and the only way for an identifier to get into SQL (promise P16, no request text becomes
 * SQL).
 *
 * CKAN keeps each tabular resource as one table of schema `public`, named by the resource id. Aliases are views listed in
 * `_table_metadata` (`alias_of`); everything here is about the real table.
 */

declare const resourceIdBrand: unique symbol;
/** The name of a DataStore table: returned by Postgres, or checked by `parseResourceId`. Never an alias. */
export type ResourceId = string & { readonly [resourceIdBrand]: true };

declare const sqlBrand: unique symbol;
/** Text that was built from literals of this program and quoted identifiers only. */
export type Sql = string & { readonly [sqlBrand]: true };

/** Quote an identifier that was read from the catalogue. A Postgres identifier may have any character but NUL. */
export function quoteIdentifier(name: string): Sql {
  if (name.includes('\0')) throw new TypeError('an identifier cannot hold NUL');
  return `"${name.replaceAll('"', '""')}"` as Sql;
}

/** Brand a name that Postgres returned. Any other text goes through `parseResourceId`. */
export function asResourceId(name: string): ResourceId {
  return name as ResourceId;
}

/** Longest name that Postgres keeps (`NAMEDATALEN` less one), in bytes. */
const longestName = 63;

/**
 * Text from outside as a table's id; null for what can name no table whose dumps have keys: empty, longer than 63 bytes,
 * or with a control character (NUL among them). Whether there is such a table, only Postgres can tell.
 */
export function parseResourceId(text: string): ResourceId | null {
  // eslint-disable-next-line no-control-regex -- control characters are what is refused
  if (text === '' || Buffer.byteLength(text) > longestName || /[\u0000-\u001f\u007f]/.test(text)) return null;
  return text as ResourceId;
}

/** Compose SQL of literals, quoted identifiers and other `Sql`: request text does not type-check. */
export function sql(parts: TemplateStringsArray, ...values: readonly (Sql | number)[]): Sql {
  return parts.reduce((text, part, index) => text + String(values[index - 1] ?? '') + part) as Sql;
}
