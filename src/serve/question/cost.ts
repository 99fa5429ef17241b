/**
 * Whether an answer costs little, told before it is begun: by the question and by Postgres's own estimate of the table's
 * size. Such answers have slots of their own, so that they never wait behind large ones (P13, slow clients exhaust nothing).
 */
import { isPythonList, isPythonObject, type PythonJson } from '../../python-json.ts';
import type { Question } from './question.ts';
import { Refused } from './refusal.ts';
import { isIdOrder, readSort } from './sorting.ts';

/** Few pages: whatever is asked of them. */
const smallTableBytes = 1024 * 1024;
const fewRows = 1000;
/** Rows that are skipped are read, too. */
const fewSkippedRows = 10_000;

/** `tableBytes`: null where Postgres has no estimate, as of a view. */
export function costsLittle(question: Question, tableBytes: number | null): boolean {
  if (tableBytes !== null && tableBytes <= smallTableBytes) return true;
  if (question.q !== undefined || question.distinct) return false;
  if (isFewIds(question.filters)) return true;
  return (
    (question.limit ?? Infinity) <= fewRows &&
    question.offset <= fewSkippedRows &&
    isNoFilter(question.filters) &&
    isByPrimaryKey(question.sort)
  );
}

function isNoFilter(filters: PythonJson): boolean {
  return filters === null || (isPythonObject(filters) && filters.size === 0);
}

/** By the primary key, whatever else they say. */
function isFewIds(filters: PythonJson): boolean {
  const ids = isPythonObject(filters) ? filters.get('_id') : undefined;
  return ids !== undefined && !isPythonObject(ids) && (!isPythonList(ids) || ids.length <= fewRows);
}

/** A sort that cannot be read is refused before any row is. */
function isByPrimaryKey(sort: string): boolean {
  try {
    return isIdOrder(readSort(sort));
  } catch (error) {
    if (error instanceof Refused) return true;
    throw error;
  }
}
