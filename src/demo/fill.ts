/**
 * Fills the demo's DataStore as CKAN would have left it: tables named by resource id with `_id` and `_full_text`, the
 * data dictionary in column comments, aliases as views, `_table_metadata`, and a role that may only read.
 *
 * Source of facts: a DataStore recorded from CKAN 2.12.0 (comments, types, indexes, names of triggers).
 */
import type { ClientBase } from 'pg';
import { quoteIdentifier, sql, type Sql } from '../postgres/table.ts';
import type { Cell, DemoColumn, DemoTable, FieldType, Row } from './demo-table.ts';

const batchRows = 10_000;

/** What the database holds before the first table. `client` is the owner's, `reader` the role that only reads. */
export async function prepareDataStore(client: ClientBase, reader: string): Promise<void> {
  await client.query(foundation);
  const role = quoteIdentifier(reader);
  await client.query(sql`GRANT USAGE ON SCHEMA public TO ${role};
    GRANT SELECT ON ALL TABLES IN SCHEMA public TO ${role};
    ALTER DEFAULT PRIVILEGES IN SCHEMA public GRANT SELECT ON TABLES TO ${role}`);
}

/**
 * Create one table and fill it. `client` is the owner's. The index is of CKAN's other kind (`gin`, setting
 * `ckan.datastore.default_fts_index_method`), which is built in a tenth of the time.
 */
export async function fillTable(client: ClientBase, table: DemoTable): Promise<void> {
  const name = quoteIdentifier(table.id);
  await client.query("SET maintenance_work_mem = '128MB'");
  await client.query('BEGIN');
  await client.query(createTable(name, table.columns));
  await insertRows(client, name, table);
  await client.query(sql`CREATE INDEX ON ${name} USING gin (_full_text)`);
  await client.query(
    sql`CREATE TRIGGER zfulltext BEFORE INSERT OR UPDATE ON ${name}
      FOR EACH ROW EXECUTE FUNCTION public.populate_full_text_trigger()`,
  );
  for (const alias of table.aliases)
    await client.query(sql`CREATE VIEW ${quoteIdentifier(alias)} AS SELECT * FROM ${name}`);
  await client.query('COMMIT');
  await client.query(sql`VACUUM ANALYZE ${name}`);
}

function createTable(name: Sql, columns: readonly DemoColumn[]): string {
  const fields = columns.map((column) => `${quoteIdentifier(column.name)} ${sqlTypes[column.type]}`);
  const comments = columns.map(
    (column) => `COMMENT ON COLUMN ${name}.${quoteIdentifier(column.name)} IS ${literal(comment(column))};`,
  );
  return `CREATE TABLE ${name} (_id serial PRIMARY KEY, _full_text tsvector, ${fields.join(', ')});
    ${comments.join('\n')}`;
}

/** The data dictionary's entry as CKAN 2.12 stores it: one space, then JSON. */
function comment({ label, notes }: DemoColumn): string {
  return ` ${JSON.stringify({ _info: { label, notes, type_override: '' } })}`;
}

function literal(text: string): string {
  return `E'${text.replaceAll('\\', '\\\\').replaceAll("'", "''")}'`;
}

/** The full text is made here, in one pass, with the words that the trigger would find. */
async function insertRows(client: ClientBase, name: Sql, { columns, rows }: DemoTable): Promise<void> {
  const fields = columns.map((column) => quoteIdentifier(column.name));
  const given = columns.map((_, index) => `given_${index}`);
  const values = columns.map(({ type }, index) => valueOf(type, `given_${index}`));
  const words = columns.map(({ type }, index) => wordsOf(type, `given_${index}`));
  const parameters = columns.map((_, index) => `$${index + 1}::text[]`);
  const insert = `INSERT INTO ${name} (_full_text, ${fields.join(', ')})
    SELECT to_tsvector('pg_catalog.english', concat_ws(' ', ${words.join(', ')})), ${values.join(', ')}
    FROM unnest(${parameters.join(', ')}) AS batch (${given.join(', ')})`;
  for (const batch of batches(rows()))
    await client.query(
      insert,
      columns.map((_, index) => batch.map((row) => cellText(row[index] ?? null))),
    );
}

const sqlTypes: Readonly<Record<FieldType, string>> = {
  text: 'text',
  int4: 'integer',
  numeric: 'numeric',
  float8: 'double precision',
  bool: 'boolean',
  date: 'date',
  timestamp: 'timestamp without time zone',
  _text: 'text[]',
  json: 'public.nested',
};

/** The value of a column from its text: lists and JSON travel as JSON. */
function valueOf(type: FieldType, given: string): string {
  if (type === '_text')
    return `(SELECT coalesce(array_agg(item ORDER BY place), '{}') FROM json_array_elements_text(${given}::json)
      WITH ORDINALITY AS items (item, place))`;
  if (type === 'json') return `ROW(${given}::json, '')::public.nested`;
  return `${given}::${sqlTypes[type]}`;
}

function wordsOf(type: FieldType, given: string): string {
  return type === 'json' ? `row_to_json(${valueOf(type, given)})` : given;
}

function cellText(cell: Cell): string | null {
  if (cell === null) return null;
  return typeof cell === 'object' ? JSON.stringify(cell) : String(cell);
}

function* batches(rows: Iterable<Row>): Generator<readonly Row[]> {
  let batch: Row[] = [];
  for (const row of rows) {
    batch.push(row);
    if (batch.length < batchRows) continue;
    yield batch;
    batch = [];
  }
  if (batch.length > 0) yield batch;
}

/** The view that names tables and aliases, with CKAN's columns. */
export const metadataView = `CREATE VIEW public._table_metadata AS
SELECT left(md5(shown.relname || coalesce(target.relname, '')), 16) AS _id,
       shown.relname AS name, shown.oid, target.relname AS alias_of
FROM pg_catalog.pg_class shown
LEFT JOIN LATERAL (
  SELECT DISTINCT base.relname
  FROM pg_catalog.pg_rewrite rule
  JOIN pg_catalog.pg_depend needs ON needs.objid = rule.oid
  JOIN pg_catalog.pg_class base ON base.oid = needs.refobjid AND base.oid <> rule.ev_class
  WHERE rule.ev_class = shown.oid
) target ON true
WHERE shown.relnamespace = 'public'::regnamespace AND shown.relkind IN ('r', 'v') AND shown.relname NOT LIKE '\\_%'
ORDER BY shown.oid DESC`;

/**
 * CKAN's composite for JSON; the full text of a row, made from all its values but the internal columns' when the row
 * brings none of its own; and the view that names tables and aliases.
 */
const foundation = `
CREATE TYPE public.nested AS (json json, extra text);
CREATE FUNCTION public.populate_full_text_trigger() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
  IF NEW._full_text IS NULL OR (TG_OP = 'UPDATE' AND NEW._full_text IS NOT DISTINCT FROM OLD._full_text) THEN
    NEW._full_text := to_tsvector('pg_catalog.english', (
      SELECT string_agg(value, ' ') FROM json_each_text(row_to_json(NEW)) WHERE left(key, 1) <> '_'
    ));
  END IF;
  RETURN NEW;
END $$;
${metadataView}`;
