/**
 * Which part of a table goes into a dump: the columns, their order, and the SQL that gives their text. Blobs and live
 * answers use the same selection, so that their bytes are the same (promise P22, CKAN's exact bytes).
 *
 * SQL gives plain columns as Postgres prints them (`timestamp` too: the formatter in `format/` knows how each version
 * spells it), and CKAN's `nested` JSON and arrays as JSON text with `null` for NULL. Source of facts: recorded answers of
 * CKAN 2.11.6 and 2.12.0.
 */
import { readInfo, type CatalogueColumn } from '../postgres/catalogue.ts';
import { quoteIdentifier, sql, type ResourceId, type Sql } from '../postgres/table.ts';
import type { OutputColumn } from './formatter.ts';

/**
 * The settings of a scan's session before the COPY; all others are the server's own, as they are for CKAN. Those of them
 * that change the bytes are part of the revision token.
 */
export const scanSettings: readonly { readonly name: string; readonly value: string }[] = [
  // Only the output style: the order of day and month is the server's.
  { name: 'datestyle', value: 'ISO' },
];

/** Columns that callers see: `_id` first if it exists, then every column that does not begin with `_`. */
export function shownColumns<Column extends { readonly name: string }>(columns: readonly Column[]): Column[] {
  const id = columns.filter((column) => column.name === '_id');
  return [...id, ...columns.filter((column) => !column.name.startsWith('_'))];
}

/** A column of the scanned row, which every statement calls `d`. */
export function rowColumn(column: CatalogueColumn): Sql {
  return sql`d.${quoteIdentifier(column.name)}`;
}

/** The cells of a row: one per column, then the JSON of the columns whose text does not determine it. */
function cells(columns: readonly CatalogueColumn[]): Sql[] {
  return [...columns.map(cell), ...columns.filter(isApart).map(jsonCell)];
}

export function isApart(column: CatalogueColumn): boolean {
  return column.json === 'apart';
}

export function jsonCell(column: CatalogueColumn): Sql {
  return sql`to_json(${rowColumn(column)})`;
}

/** The text of a column's cell, as it is in the answer's CSV. */
export function cell(column: CatalogueColumn): Sql {
  if (column.baseType === 'nested') return sql`coalesce((${rowColumn(column)}).json::text, 'null')`;
  if (column.json === 'array') return sql`coalesce(array_to_json(${rowColumn(column)})::text, 'null')`;
  return rowColumn(column);
}

/** How the formatter writes a column, and how the JSON head names it: `_id` is `int` whatever its type. */
export function outputColumn(column: CatalogueColumn): OutputColumn {
  const id = column.name;
  const type = id === '_id' ? 'int' : column.type;
  const info = readInfo(column.comment);
  const field = info === undefined ? { id, type } : { id, type, info };
  if (isApart(column)) return { name: id, type: 'json', field, apart: true };
  // A user-defined type may have a name that looks like an array's.
  const isText = column.json === 'plain' && column.baseType.startsWith('_');
  return { name: id, type: isText ? 'text' : column.type, field };
}

export function tableName(id: ResourceId): Sql {
  return sql`public.${quoteIdentifier(id)}`;
}

export function commaList(parts: readonly Sql[]): Sql {
  return parts.join(', ') as Sql;
}

/** The COPY of a whole table, in `_id` order, and its columns. A table without `_id` comes in storage order. */
export function wholeTable(
  id: ResourceId,
  columns: readonly CatalogueColumn[],
): { readonly copy: Sql; readonly columns: readonly OutputColumn[] } {
  const shown = shownColumns(columns);
  const order = shown[0]?.name === '_id' ? sql` ORDER BY d._id` : sql``;
  const select = commaList(cells(shown));
  return {
    copy: sql`COPY (SELECT ${select} FROM ${tableName(id)} AS d${order}) TO STDOUT (FORMAT csv)`,
    columns: shown.map(outputColumn),
  };
}
