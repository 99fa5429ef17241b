/**
 * What makes two rows the same for `distinct`, and which columns have an order at all.
 *
 * Rows are compared by what the answer shows: timestamps to the digits of the version, without era, the infinities as
 * NULL; JSON by its text.
 */
import type { CatalogueColumn } from '../../postgres/catalogue.ts';
import type { CkanProfile } from '../../ckan/profile.ts';
import { cell, rowColumn } from '../../dump/selection.ts';
import { sql, type Sql } from '../../postgres/table.ts';

/** Types without equality or order in Postgres (manual, chapters 8 and 9); nor have their arrays. */
const unordered = new Set(
  (
    'json nested xml jsonpath point line lseg box path polygon circle ' +
    'aclitem cid xid pg_snapshot txid_snapshot refcursor gtsvector'
  ).split(' '),
);

export function isSortable(column: CatalogueColumn): boolean {
  return !unordered.has(column.baseType.replace(/^_/, ''));
}

/** By what rows are grouped, and what of a group is selected; the latter is a function of the former. */
export function distinctCell(
  column: CatalogueColumn,
  profile: CkanProfile,
): { readonly key: Sql; readonly expression: Sql } {
  const raw = rowColumn(column);
  if (column.baseType === 'timestamp') {
    const digits = profile.millisecondsInTimestamps ? sql`.MS` : sql``;
    const shown = sql`to_char(${raw}, 'YYYY-MM-DD HH24:MI:SS${digits}')`;
    return { key: shown, expression: shown };
  }
  if (isSortable(column)) return { key: raw, expression: cell(column) };
  const text = cell(column) === raw ? sql`${raw}::text` : cell(column);
  return { key: text, expression: text };
}
