/**
 * Full-text search: what `q`, `plain` and `language` mean. Each query is computed once, beside the table in FROM, and
 * adds a column of ranks: `rank` for a text, `rank <column>` for each column of an object.
 */
import type { CkanProfile } from '../../ckan/profile.ts';
import type { OutputColumn } from '../../dump/formatter.ts';
import { commaList, rowColumn } from '../../dump/selection.ts';
import { sql, type Sql } from '../../postgres/table.ts';
import type { AskedTable, Question } from './question.ts';
import type { Columns } from './filters.ts';
import { Refused } from './refusal.ts';
import { isByIdAlone, readSort } from './sorting.ts';
import { bind, type Binding } from './values.ts';

export interface Search {
  /** Items of the FROM clause. */
  readonly from: readonly Sql[];
  /** Conditions, all of which must hold. */
  readonly where: readonly Sql[];
  /** The added columns, in order. */
  readonly ranks: readonly { readonly expression: Sql; readonly output: OutputColumn }[];
}

const noSearch: Search = { from: [], where: [], ranks: [] };

export function readSearch(
  question: Question,
  table: AskedTable,
  columns: Columns,
  options: { readonly profile: CkanProfile; readonly ftsLanguage: string },
  binding: Binding,
): Search {
  if (question.q === undefined) return noSearch;
  const asked = typeof question.q === 'string' ? [[null, question.q] as const] : [...question.q];
  const wordsAreNull =
    options.profile.searchWordsAfterColonAreNull === 'always' || !isByIdAlone(readSort(question.sort));
  const language = readLanguage(question.language ?? options.ftsLanguage, binding);
  const ranked = new Set(asked.map(([name]) => rankName(name)));
  const parts = asked.map(([name, value], index) => {
    if (typeof value !== 'string') throw new Refused('q', 'what to look for must be a text');
    const query = sql`s.query${index}`;
    const text = name === null ? null : searchedText(name, columns, language);
    const alsoWholeRow = name !== null && (ranked.has(name) || asksWholeRow(name, columns, options.profile));
    const vector = text ?? wholeRow(table);
    const search = tsquery(
      question.plain,
      language,
      bind(binding, 'q', searchText(value, wordsAreNull)),
      binding,
    );
    return {
      query: sql`${search} AS query${index}`,
      where: [...(alsoWholeRow ? [wholeRow(table)] : []), vector].map(
        (searched) => sql`${searched} @@ ${query}`,
      ),
      rank: { expression: sql`ts_rank(${vector}, ${query}, 32)`, output: rankColumn(name) },
    };
  });
  return {
    // One row, so that the planner has one join; without OFFSET it would compute each query anew for each row.
    from: [sql`(SELECT ${commaList(parts.map((part) => part.query))} OFFSET 0) AS s`],
    where: parts.flatMap((part) => part.where),
    ranks: parts.map((part) => part.rank),
  };
}

/**
 * CKAN drops NUL from the literals it builds; a bare `:word` in one is taken for a parameter that nobody gave, and
 * becomes NULL, or fails.
 */
function searchText(text: string, wordsAreNull: boolean): string {
  const clean = text.replaceAll('\0', '');
  return wordsAreNull ? clean.replaceAll(/(?<![:\w\\]):\w+(?!:)/gu, 'NULL') : clean;
}

/** A number would name a configuration by its oid, which fails in ways that are no caller's business. */
function readLanguage(language: string, binding: Binding): Sql {
  if (/^\s*(?:\d+|-)\s*$/.test(language)) throw new Refused('language', 'no such text search configuration');
  const configuration = sql`${bind(binding, 'language', language.replaceAll('\0', ''))}::regconfig`;
  binding.probes.push(configuration);
  return configuration;
}

function tsquery(isPlain: boolean, language: Sql, text: Sql, binding: Binding): Sql {
  const query = isPlain ? sql`plainto_tsquery(${language}, ${text})` : sql`to_tsquery(${language}, ${text})`;
  binding.probes.push(query);
  return query;
}

/** The index that CKAN's trigger keeps over all the columns of a row; its internal views have none. */
function wholeRow(table: AskedTable): Sql {
  const column = table.columns.find(({ name }) => name === '_full_text');
  if (column === undefined) throw new Refused('q', 'this table has no full-text index');
  return rowColumn(column);
}

function searchedText(name: string, columns: Columns, language: Sql): Sql {
  const column = columns.get(name);
  if (column === undefined) throw new Refused('q', 'no such column in this table');
  return sql`to_tsvector(${language}, ${rowColumn(column)}::text)`;
}

function asksWholeRow(name: string, columns: Columns, profile: CkanProfile): boolean {
  const type = name === '_id' ? 'int' : columns.get(name)?.type;
  return type === undefined || !profile.columnsIndexedAlone.includes(type);
}

/** CKAN calls the type of a rank `float`; Postgres' is `float4`. */
function rankColumn(name: string | null): OutputColumn {
  const id = rankName(name);
  return { name: id, type: 'float4', field: { id, type: 'float' } };
}

function rankName(name: string | null): string {
  return name === null ? 'rank' : `rank ${name}`;
}
