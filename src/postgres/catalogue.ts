/**
 * A table's columns in Postgres's catalogue: names, types, comments. The only source of identifiers (promise P16, no
 * request text becomes SQL).
 */
import type { Queryable } from './pool.ts';
import {
  isPythonList,
  isPythonNumber,
  isPythonObject,
  parsePythonJson,
  type PythonJson,
} from '../python-json.ts';
import type { ResourceId, Sql } from './table.ts';

export interface CatalogueColumn {
  readonly name: string;
  /** `pg_type.typname` as CKAN reports it. */
  readonly type: string;
  /** `pg_type.typname` with domains resolved. */
  readonly baseType: string;
  /** The type as SQL spells it in a cast, domains resolved, without modifiers, by Postgres' own `format_type`. */
  readonly castType: Sql;
  /**
   * How `to_json` writes a value (Postgres manual, 9.16, `to_json`): `plain`, by the type's name; `array`; or `apart`,
   * which its text does not determine: composites, vectors of the catalogue, types with a cast to json (hstore, geometry).
   */
  readonly json: 'plain' | 'array' | 'apart';
  /** The column comment, as stored. */
  readonly comment: string | null;
}

/**
 * Every column that is not dropped, in table order. Domains are resolved to their base type; CKAN's own composite
 * `nested` (its storage of JSON) is named `json`, as in CKAN. Empty where there is no such table or view.
 */
export async function readColumns(db: Queryable, id: ResourceId): Promise<CatalogueColumn[]> {
  const { rows } = await db.query<{
    name: string;
    base_type: string;
    cast_type: Sql;
    json: CatalogueColumn['json'];
    comment: string | null;
  }>(
    `SELECT a.attname::text AS name, base.typname::text AS base_type,
            pg_catalog.format_type(base.oid, -1) AS cast_type,
            CASE WHEN base.typname = 'nested' THEN 'plain'
                 WHEN base.typcategory = 'A' AND pg_catalog.left(base.typname::text, 1) = '_' THEN 'array'
                 WHEN base.typcategory = 'A' OR base.typtype = 'c' OR EXISTS (
                   SELECT FROM pg_catalog.pg_cast WHERE castsource = base.oid AND castmethod = 'f'
                     AND casttarget = 'json'::pg_catalog.regtype AND base.oid >= 16384
                 ) THEN 'apart'
                 ELSE 'plain' END AS json,
            pg_catalog.col_description(a.attrelid, a.attnum) AS comment
     FROM pg_catalog.pg_attribute a
     JOIN pg_catalog.pg_class c ON c.oid = a.attrelid
     CROSS JOIN LATERAL (
       WITH RECURSIVE chain AS (
         SELECT t.oid, t.typname, t.typtype, t.typbasetype FROM pg_catalog.pg_type t WHERE t.oid = a.atttypid
         UNION ALL
         SELECT t.oid, t.typname, t.typtype, t.typbasetype
         FROM chain JOIN pg_catalog.pg_type t ON t.oid = chain.typbasetype WHERE chain.typtype = 'd'
       ) SELECT t.oid, t.typname, t.typtype, t.typcategory
         FROM chain JOIN pg_catalog.pg_type t USING (oid) WHERE chain.typtype <> 'd'
     ) AS base
     WHERE c.relnamespace = 'public'::pg_catalog.regnamespace AND c.relname = $1
       AND c.relkind IN ('r', 'v', 'm', 'p', 'f') AND a.attnum > 0 AND NOT a.attisdropped
     ORDER BY a.attnum`,
    [id],
  );
  return rows.map(({ base_type: baseType, cast_type: castType, ...row }) => ({
    ...row,
    type: baseType === 'nested' ? 'json' : baseType,
    baseType,
    castType,
  }));
}

/**
 * The data dictionary entry of a column: the `_info` of its comment's JSON, any JSON value, as CKAN shows it. Undefined
 * where the comment has none, was written by hand, or has the format of old CKAN versions.
 */
export function readInfo(comment: string | null): PythonJson | undefined {
  const parsed = comment === null ? undefined : parsePythonJson(comment);
  return isPythonObject(parsed) ? parsed.get('_info') : undefined;
}

/** The entry for `JSON.stringify`, with Python's spelling of numbers; null where it is not an object. */
export function printableInfo(comment: string | null): Readonly<Record<string, unknown>> | null {
  const info = readInfo(comment);
  return isPythonObject(info) ? (printable(info) as Record<string, unknown>) : null;
}

/** `JSON.rawJSON`: a number in exactly the given digits (ECMAScript proposal "JSON.parse source text access"). */
const { rawJSON } = JSON as unknown as { rawJSON: (text: string) => object };

function printable(value: PythonJson): unknown {
  if (isPythonNumber(value)) return Number.isFinite(Number(value.text)) ? rawJSON(value.text) : value.text;
  if (isPythonList(value)) return value.map(printable);
  if (!isPythonObject(value)) return value;
  return Object.fromEntries([...value].map(([key, member]) => [key, printable(member)]));
}
