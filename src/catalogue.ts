/**
 * What Postgres knows of a table's columns: names, types, comments. The only source of identifiers (promise P16).
 */
import type { Queryable } from './postgres.ts';
import {
  isPythonList,
  isPythonNumber,
  isPythonObject,
  parsePythonJson,
  type PythonJson,
} from './python-json.ts';
import type { ResourceId, Sql } from './table.ts';

export interface CatalogueColumn {
  readonly name: string;
  /** `pg_type.typname` as CKAN reports it. */
  readonly type: string;
  /** `pg_type.typname` with domains resolved. */
  readonly baseType: string;
  /** The type as SQL spells it in a cast, domains resolved, without modifiers, by Postgres' own `format_type`. */
  readonly castType: Sql;
  /** The column comment, as stored. */
  readonly comment: string | null;
}

/**
 * Every column that is not dropped, in table order. Domains are resolved to their base type; CKAN's own composite
 * `nested` (its storage of JSON) is called `json`, as CKAN does. Empty where there is no such table or view.
 */
export async function readColumns(db: Queryable, id: ResourceId): Promise<CatalogueColumn[]> {
  const { rows } = await db.query<{
    name: string;
    base_type: string;
    cast_type: Sql;
    comment: string | null;
  }>(
    `SELECT a.attname::text AS name, base.typname::text AS base_type,
            pg_catalog.format_type(base.oid, -1) AS cast_type,
            pg_catalog.col_description(a.attrelid, a.attnum) AS comment
     FROM pg_catalog.pg_attribute a
     JOIN pg_catalog.pg_class c ON c.oid = a.attrelid
     CROSS JOIN LATERAL (
       WITH RECURSIVE chain AS (
         SELECT t.oid, t.typname, t.typtype, t.typbasetype FROM pg_catalog.pg_type t WHERE t.oid = a.atttypid
         UNION ALL
         SELECT t.oid, t.typname, t.typtype, t.typbasetype
         FROM chain JOIN pg_catalog.pg_type t ON t.oid = chain.typbasetype WHERE chain.typtype = 'd'
       ) SELECT oid, typname FROM chain WHERE typtype <> 'd'
     ) AS base
     WHERE c.relnamespace = 'public'::pg_catalog.regnamespace AND c.relname = $1
       AND c.relkind IN ('r', 'v', 'm', 'p', 'f') AND a.attnum > 0 AND NOT a.attisdropped
     ORDER BY a.attnum`,
    [id],
  );
  return rows.map(({ name, base_type: baseType, cast_type: castType, comment }) => ({
    name,
    type: baseType === 'nested' ? 'json' : baseType,
    baseType,
    castType,
    comment,
  }));
}

/**
 * The data dictionary entry of a column: the `_info` of its comment's JSON (an object, when CKAN wrote it), or null.
 * A comment that somebody wrote by hand, or in the format of old CKANs, is no entry. Numbers keep Python's spelling
 * under `JSON.stringify`.
 */
export function readInfo(comment: string | null): Readonly<Record<string, unknown>> | null {
  const parsed = comment === null ? undefined : parsePythonJson(comment);
  const info = isPythonObject(parsed) ? parsed.get('_info') : undefined;
  return isPythonObject(info) ? (printable(info) as Record<string, unknown>) : null;
}

/** `JSON.rawJSON`: a number in the very digits given (ECMAScript proposal "JSON.parse source text access"). */
const { rawJSON } = JSON as unknown as { rawJSON: (text: string) => object };

function printable(value: PythonJson): unknown {
  if (isPythonNumber(value)) return Number.isFinite(Number(value.text)) ? rawJSON(value.text) : null;
  if (isPythonList(value)) return value.map(printable);
  if (!isPythonObject(value)) return value;
  return Object.fromEntries([...value].map(([key, member]) => [key, printable(member)]));
}
