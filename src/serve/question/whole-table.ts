/**
 * Whether the whole table is asked for: then its blob is the answer, however the request spells it: `format=csv&bom=True`,
 * `sort=_id asc`, `offset=0`, every field by name, a limit that cuts nothing, filters that say nothing.
 */
import { formatTable } from '../../format.ts';
import { shownColumns } from '../../dump/selection.ts';
import { isPythonObject } from '../../python-json.ts';
import type { Question } from './question.ts';
import { Refused } from './refusal.ts';
import { isIdOrder, readSort } from './sorting.ts';

/** What a manifest says of a dump. */
interface DumpedTable {
  readonly columns: readonly { readonly name: string }[];
  readonly rows: number;
}

export function isWholeTable(question: Question, table: DumpedTable): boolean {
  return (
    (question.limit === undefined || question.limit >= table.rows) &&
    question.q === undefined &&
    !question.distinct &&
    question.offset === 0 &&
    (question.filters === null || (isPythonObject(question.filters) && question.filters.size === 0)) &&
    namesEveryColumn(question, table) &&
    isInIdOrder(question.sort)
  );
}

function namesEveryColumn(question: Question, table: DumpedTable): boolean {
  if (question.fields === undefined) return true;
  const names = shownColumns(table.columns).map((column) => column.name);
  if (question.fields.length === 0) return formatTable[question.format].names !== 'head';
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
