/**
 * Refusals: CKAN's own 400s, and ours where CKAN fails on a caller's mistake (repair 3). A message is one line a
 * parameter; it never repeats what the caller wrote, nor any SQL (P16, no request text in SQL).
 */
import type { Question, Refusal } from './question.ts';

export type Parameter =
  'fields' | 'filters' | 'format' | 'language' | 'limit' | 'offset' | 'q' | 'sort' | 'distinct';

function refuse(parameter: Parameter, reason: string): Refusal {
  return { kind: 'refused', status: 400, message: `${parameter}: ${reason}` };
}

/** For parsers that go deep: thrown inside `question/` only, and turned into a value at its edge. */
export class Refused extends Error {
  readonly refusal: Refusal;

  constructor(parameter: Parameter, reason: string) {
    super(reason);
    this.name = 'Refused';
    this.refusal = refuse(parameter, reason);
  }
}

export function orRefusal<Value>(work: () => Value): Value | Refusal {
  try {
    return work();
  } catch (error) {
    if (error instanceof Refused) return error.refusal;
    throw error;
  }
}

/** Invalid object name, name or schema: only a text search configuration is named by a caller. */
const languageFaults = new Set(['42704', '42602', '3F000']);
/** A function or operator that the types do not have, or literals that no common type fits. */
const typeFaults = new Set(['42883', '42804', '42725', '42P18', '42P22', '42846', '0A000', '42809']);

/**
 * What Postgres says of a bad literal, operator, language or full-text query, as a 400 that names the parameter;
 * null where the fault is not the caller's. SQLSTATE codes: Postgres manual, appendix A.
 */
export function refusalOfPostgresError(error: unknown, question: Question): Refusal | null {
  const code = error instanceof Error ? (error as { code?: unknown }).code : undefined;
  if (typeof code !== 'string') return null;
  if (languageFaults.has(code)) return refuse('language', 'no such text search configuration');
  if (code === '42601' && question.q !== undefined) {
    return question.plain
      ? refuse('language', 'no such text search configuration')
      : refuse('q', 'not a full-text query');
  }
  // More columns than Postgres selects: some are named twice, or each has a rank beside it.
  if (code === '54011') return refuse(question.fields === undefined ? 'q' : 'fields', 'too many columns');
  if (code === '54000' && question.q !== undefined)
    return refuse('q', 'too long a word for full-text search');
  // Also how deep an array may nest.
  if (code === '54000' && question.filters !== null)
    return refuse('filters', 'a value does not fit its column');
  if (typeFaults.has(code)) return refuse(comparing(question), 'this column cannot be compared that way');
  if (code.startsWith('22')) {
    if (question.filters !== null) return refuse('filters', 'a value does not fit its column');
    return question.q === undefined ? null : refuse('q', 'not a full-text query');
  }
  return null;
}

function comparing(question: Question): Parameter {
  if (question.filters !== null) return 'filters';
  return question.distinct ? 'distinct' : 'sort';
}
