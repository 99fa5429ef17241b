/**
 * Is an answer CKAN's, a repair, or different? What is not recorded as `same` must be right in itself: well-formed,
 * with the cells that the same question has in CSV and an oracle expects, or a 400 that names the parameter.
 */
import { createHash } from 'node:crypto';
import type { Case } from './corpus.ts';
import { faultOfDeviation, type Asking } from './deviating-answer.ts';
import type { Answer } from './request.ts';

export type Verdict =
  | { readonly kind: 'same' }
  | { readonly kind: 'repaired' }
  | { readonly kind: 'different'; readonly reason: string };

const same: Verdict = { kind: 'same' };
const repaired: Verdict = { kind: 'repaired' };
const different = (reason: string): Verdict => ({ kind: 'different', reason });

/** `ask` asks another target as the same caller. */
export async function judge(asked: Case, answer: Answer, ask: Asking['ask']): Promise<Verdict> {
  if (!answer.complete) return different('the body broke off');
  if (asked.expect === 'same') return judgeSame(asked, answer);
  if (answer.status >= 500) return different(`${answer.status}`);
  if (answer.status === 400) return judgeRefusal(asked, answer);
  if (answer.status === 404)
    return asked.status === 200 ? different('404 for a table that CKAN gives') : repaired;
  if (answer.status !== 200) return different(`${answer.status}`);
  if (asked.method !== 'GET') return repaired;
  if (
    asked.row_order === 'fixed' &&
    asked.why !== 'limit 0 has no header' &&
    digest(answer.body) === asked.body_sha256
  ) {
    return repaired;
  }
  return judgeRepair(asked, answer, ask);
}

function judgeSame(asked: Case, answer: Answer): Verdict {
  if (answer.status !== asked.status) return different(`${answer.status} instead of ${asked.status}`);
  const hasBody = asked.status === 200 && asked.body_kind === 'dump' && asked.method === 'GET';
  return hasBody && digest(answer.body) !== asked.body_sha256 ? different('other bytes') : same;
}

export const refusal = /^(?:(?:fields|filters|format|language|limit|offset|q|sort|distinct): .+\n?)+$/;

function judgeRefusal(asked: Case, answer: Answer): Verdict {
  if (asked.status === 200) return different(`400 instead of 200: ${answer.body.toString()}`);
  if (asked.method !== 'HEAD' && !refusal.test(answer.body.toString()))
    return different('a 400 without a parameter');
  return repaired;
}

async function judgeRepair(asked: Case, answer: Answer, ask: Asking['ask']): Promise<Verdict> {
  try {
    const fault = await faultOfDeviation({
      format: formatOf(asked),
      answer,
      path: asked.path,
      ask,
      operators: true,
    });
    return fault === null ? repaired : different(fault);
  } catch (error) {
    return different(`no ${formatOf(asked)}: ${String(error).slice(0, 200)}`);
  }
}

function digest(body: Buffer): string {
  return createHash('sha256').update(body).digest('hex');
}

export function formatOf(asked: Case): string {
  return /[?&]format=(tsv|json|xml)(?:&|$)/.exec(asked.path)?.[1] ?? 'csv';
}
