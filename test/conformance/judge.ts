/**
 * Is an answer CKAN's, a repair, or different? What is not recorded as `same` must be right in itself: well-formed,
 * with as many rows as the same question has in CSV, or a 400 that names the parameter.
 */
import { createHash } from 'node:crypto';
import { SaxesParser } from 'saxes';
import type { Case } from './corpus.ts';
import type { Answer } from './request.ts';

export type Verdict =
  | { readonly kind: 'same' }
  | { readonly kind: 'repaired' }
  | { readonly kind: 'different'; readonly reason: string };

const same: Verdict = { kind: 'same' };
const repaired: Verdict = { kind: 'repaired' };
const different = (reason: string): Verdict => ({ kind: 'different', reason });

/** `askAsCsv` asks the same question in CSV. */
export async function judge(asked: Case, answer: Answer, askAsCsv: () => Promise<Answer>): Promise<Verdict> {
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
  return judgeRepair(formatOf(asked), answer, await askAsCsv());
}

function judgeSame(asked: Case, answer: Answer): Verdict {
  if (answer.status !== asked.status) return different(`${answer.status} instead of ${asked.status}`);
  const hasBody = asked.status === 200 && asked.body_kind === 'dump' && asked.method === 'GET';
  return hasBody && digest(answer.body) !== asked.body_sha256 ? different('other bytes') : same;
}

const refusal = /^(?:(?:fields|filters|format|language|limit|offset|q|sort|distinct): .+\n?)+$/;

function judgeRefusal(asked: Case, answer: Answer): Verdict {
  if (asked.status === 200) return different(`400 instead of 200: ${answer.body.toString()}`);
  if (asked.method !== 'HEAD' && !refusal.test(answer.body.toString()))
    return different('a 400 without a parameter');
  return repaired;
}

function judgeRepair(format: string, answer: Answer, csv: Answer): Verdict {
  try {
    const rows = countRows(format, answer.body.toString());
    const expected = countRows('csv', csv.body.toString());
    return rows === expected ? repaired : different(`${rows} rows, ${expected} in CSV`);
  } catch (error) {
    return different(`no ${format}: ${String(error).slice(0, 200)}`);
  }
}

function digest(body: Buffer): string {
  return createHash('sha256').update(body).digest('hex');
}

export function formatOf(asked: Case): string {
  return /[?&]format=(tsv|json|xml)(?:&|$)/.exec(asked.path)?.[1] ?? 'csv';
}

/** The records of a dump, by a strict reader of its format. */
function countRows(format: string, text: string): number {
  const body = text.replace(/^\ufeff/, '');
  if (format === 'json') return (JSON.parse(body) as { records: unknown[] }).records.length;
  return format === 'xml' ? countXmlRows(body) : countLines(body) - 1;
}

function countXmlRows(text: string): number {
  const parser = new SaxesParser();
  let rows = 0;
  let depth = 0;
  parser.on('error', (error) => {
    throw error;
  });
  parser.on('opentag', (tag) => {
    if (depth === 1 && tag.name === 'row') rows += 1;
    depth += 1;
  });
  parser.on('closetag', () => {
    depth -= 1;
  });
  parser.write(text).close();
  return rows;
}

function countLines(text: string): number {
  let lines = 0;
  let isQuoted = false;
  for (const character of text) {
    if (character === '"') isQuoted = !isQuoted;
    else if (character === '\n' && !isQuoted) lines += 1;
  }
  return lines;
}
