/**
 * What a caller asks of a dump, as values: parsed by CKAN's rules (`parse.ts`), then planned against the table's own
 * columns (`plan.ts`).
 *
 * No text of a request becomes SQL (P16): values travel as settings of the transaction
 * (`set_config('dumper.v1', $1, true)`, read back by `current_setting`), since COPY takes no parameters; identifiers
 * come from the catalogue.
 */
import type { OutputColumn } from '../../dump/formatter.ts';
import type { Format } from '../../format.ts';
import type { CatalogueColumn } from '../../postgres/catalogue.ts';
import type { ResourceId, Sql } from '../../postgres/table.ts';
import type { PythonJson, PythonObject } from '../../python-json.ts';

export type { CatalogueColumn } from '../../postgres/catalogue.ts';

/** A parameter that CKAN refuses, or that CKAN fails on and we refuse: one plain line naming it. */
export interface Refusal {
  readonly kind: 'refused';
  readonly status: 400 | 404;
  readonly message: string;
}

/** Parameters after CKAN's validation; `undefined` where the caller gave none. */
export interface Question {
  readonly kind: 'question';
  readonly format: Format;
  /** Never where the format has no such twin. */
  readonly bom: boolean;
  /** Rows to skip: at most 2^53 - 1, or Infinity where Postgres could not count them; negative is for the plan to refuse. */
  readonly offset: number;
  readonly limit: number | undefined;
  /** Null: none. */
  readonly filters: PythonJson;
  /** A text for the whole row, or texts per column. */
  readonly q: string | PythonObject | undefined;
  readonly plain: boolean;
  readonly language: string | undefined;
  readonly distinct: boolean;
  /** Names as written; an empty list is CKAN's `fields=`. */
  readonly fields: readonly string[] | undefined;
  readonly sort: string;
  /** Ours: force a live answer. */
  readonly latest: boolean;
  /** Ours: `redirect=false` asks for the bytes through the service. */
  readonly redirect: boolean;
}

/** What the live answer runs, in order, inside one read-only transaction: settings first, then one COPY. */
export interface LivePlan {
  readonly kind: 'plan';
  readonly settings: readonly { readonly name: string; readonly value: string }[];
  /** Runs before COPY to turn a bad literal, language or query into a 400; rows are not read. Null: not needed. */
  readonly probe: Sql | null;
  /** `COPY (SELECT …) TO STDOUT (FORMAT csv)`. */
  readonly copy: Sql;
  /** The columns of each row. */
  readonly columns: readonly OutputColumn[];
  /** The columns that the head names: `columns`, but none for CKAN's `fields=`. */
  readonly head: readonly OutputColumn[];
}

/** The table as the planner needs it. */
export interface AskedTable {
  readonly id: ResourceId;
  /** Every column with catalogue facts, in table order, internal ones included and marked. */
  readonly columns: readonly CatalogueColumn[];
}
