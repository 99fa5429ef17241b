/**
 * Which columns are asked for, and in which order rows come: `fields` and `sort`, by CKAN's rules.
 */
import { strip } from './python-text.ts';
import { Refused } from './refusal.ts';

export interface SortKey {
  readonly name: string;
  readonly descending: boolean;
  /** Postgres' own default where the caller says nothing. */
  readonly nulls: 'first' | 'last';
}

/** The blanks before a direction are looked at from their first only, so that a long run of them costs nothing. */
const clause = /^(.+?)(?:(?<! ) +(asc|desc))?(?: nulls +(first|last) *)?$/is;

/** `column [asc|desc] [nulls first|last]`, separated by commas, names quoted or not; throws `Refused`. */
export function readSort(sort: string): readonly SortKey[] {
  // The same text is read once, however often it is written.
  const read = new Map<string, SortKey>();
  return sort.split(',').map((text) => {
    const key = read.get(text) ?? readKey(strip(text));
    read.set(text, key);
    return key;
  });
}

function readKey(text: string): SortKey {
  const parts = clause.exec(text);
  if (parts === null) throw new Refused('sort', 'an empty name');
  const [, written = '', direction, nulls] = parts;
  const descending = direction?.toLowerCase() === 'desc';
  const isQuoted = written.startsWith('"') && written.endsWith('"');
  return {
    name: isQuoted ? written.slice(1, -1) : written,
    descending,
    nulls: nulls === undefined ? (descending ? 'first' : 'last') : (nulls.toLowerCase() as 'first' | 'last'),
  };
}

/** The one order in which CKAN 2.12 pages by `_id`, up or down. */
export function isByIdAlone(keys: readonly SortKey[]): boolean {
  return keys.length === 1 && keys[0]?.name === '_id';
}

/** Rows in `_id` order, the order of a whole dump: nulls do not matter, since `_id` has none. */
export function isIdOrder(keys: readonly SortKey[]): boolean {
  const [first] = keys;
  return first?.name === '_id' && !first.descending;
}
