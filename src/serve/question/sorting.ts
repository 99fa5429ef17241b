/** The order of rows that `sort` asks for, by CKAN's rules. */
import { splitList } from './python-text.ts';
import { RefusedError } from './refusal.ts';

export interface SortKey {
  readonly name: string;
  readonly descending: boolean;
  /** Postgres' own default where the caller says nothing. */
  readonly nulls: 'first' | 'last';
}

/** A match may begin only at the first blank before a direction, so that a long run of blanks costs nothing. */
const clause = /^(.+?)(?:(?<! ) +(asc|desc))?(?: nulls +(first|last) *)?$/is;

/** `column [asc|desc] [nulls first|last]`, separated by commas, names quoted or not; throws `RefusedError`. */
export function parseSort(sort: string): readonly SortKey[] {
  return splitList(sort).map((text) => {
    const parts = clause.exec(text);
    if (parts === null) throw new RefusedError('sort', 'an empty name');
    const [, written = '', direction, nulls] = parts;
    const descending = direction?.toLowerCase() === 'desc';
    const isQuoted = written.startsWith('"') && written.endsWith('"');
    return {
      name: isQuoted ? written.slice(1, -1) : written,
      descending,
      nulls:
        nulls === undefined ? (descending ? 'first' : 'last') : (nulls.toLowerCase() as 'first' | 'last'),
    };
  });
}

/** The one order in which CKAN 2.12 pages by `_id`, up or down. */
export function sortsByIdAlone(keys: readonly SortKey[]): boolean {
  return keys.length === 1 && keys[0]?.name === '_id';
}

/** Rows in `_id` order, the order of a whole dump: nulls do not matter, since `_id` has none. */
export function isIdOrder(keys: readonly SortKey[]): boolean {
  const [first] = keys;
  return first?.name === '_id' && !first.descending;
}
