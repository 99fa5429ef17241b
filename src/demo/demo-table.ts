/**
 * What a table of the demo is: a dataset's resource as CKAN knows it (titles, licence, data dictionary), and the rows
 * that fill it.
 *
 * Rows come from a seeded generator, so the package ships no data and every run, on every machine, has the same ones.
 */

/** The DataStore field types of CKAN that the demo uses; `json` is stored as CKAN's composite `nested`. */
export type FieldType =
  'text' | 'int4' | 'numeric' | 'float8' | 'bool' | 'date' | 'timestamp' | '_text' | 'json';

export interface DemoColumn {
  readonly name: string;
  readonly type: FieldType;
  /** Data dictionary: the column's title. */
  readonly label: string;
  /** Data dictionary: the description; may be empty. */
  readonly notes: string;
}

export interface JsonObject {
  readonly [key: string]: string | readonly string[] | null;
}

/** A value of a row: `numeric`, dates and times as text (in Postgres's own spelling), `_text` as a list. */
export type Cell = string | number | boolean | null | readonly string[] | JsonObject;

export type Row = readonly Cell[];

export interface DemoTable {
  /** The resource id, which is the table's name. */
  readonly id: string;
  /** The dataset's name, as it stands in the address of its page. */
  readonly dataset: string;
  readonly title: string;
  readonly resourceName: string;
  /** Markdown, as CKAN's descriptions are. */
  readonly description: string;
  /** A licence id of CKAN's list. */
  readonly licence: 'cc-by' | 'cc-zero' | 'odc-odbl' | 'other-pd';
  /** Further names of the table: views, as CKAN makes them. */
  readonly aliases: readonly string[];
  readonly rowCount: number;
  /** In table order, without `_id`, which counts from 1. */
  readonly columns: readonly DemoColumn[];
  /** Every row, `rowCount` of them, cells in the order of `columns`; the same ones at each call. */
  rows(): Iterable<Row>;
}
