/**
 * Whether the whole table is asked for: then its blob is the answer, however the request spells it: `format=csv&bom=True`,
 * `sort=_id asc`, `offset=0`, every field by name, a limit that cuts nothing, filters that say nothing.
 */
import { isPythonObject } from '../../python-json.ts';
import { shownColumns } from '../../dump/selection.ts';
import { isIdOrder, readSort } from './parse.ts';
import type { Question } from './question.ts';
import { Refused } from './refusal.ts';

/** A table as the catalogue or a manifest names its columns. */
export interface NamedColumns {
  readonly columns: readonly { readonly name: string }[];
}

/** Whole but for a limit: `isWholeFor` tells whether that cuts anything. */
export function isWholeTable(question: Question, table: NamedColumns): boolean {
  return (
    question.q === undefined &&
    !question.distinct &&
    question.offset === 0 &&
    (question.filters === null || (isPythonObject(question.filters) && question.filters.size === 0)) &&
    namesEveryColumn(question, table) &&
    isInIdOrder(question.sort)
  );
}

/** Whether the question's limit leaves a dump of `rows` rows whole. */
export function isWholeFor(question: Question, rows: number): boolean {
  return question.limit === undefined || question.limit >= rows;
}

function namesEveryColumn(question: Question, table: NamedColumns): boolean {
  if (question.fields === undefined) return true;
  const names = shownColumns(table.columns).map((column) => column.name);
  if (question.fields.length === 0) return question.format === 'xml';
  return (
    names.length === question.fields.length && names.every((name, index) => name === question.fields?.[index])
  );
}

/** A sort that cannot be read is for the planner to refuse. */
function isInIdOrder(sort: string): boolean {
  try {
    const keys = readSort(sort);
    return keys.length === 1 && isIdOrder(keys);
  } catch (error) {
    if (error instanceof Refused) return false;
    throw error;
  }
}
