/** Promise P22: which recorded requests are for a whole table, told by their spelling alone and not by the product. */
import type { Case } from './corpus.ts';

const plain =
  /^(?:format=(?:csv|tsv|json|xml)|bom=\w*|unknown=\w*|sort=_id|offset=0|filters=(?:\{\}|%7[Bb]%7[Dd]))$/;

/** A GET of a table or alias that names nothing but a format, a BOM, or what changes nothing. */
export function isPlainlyWhole(asked: Case): boolean {
  const [target = '', query = ''] = asked.path.split('?');
  if (asked.method !== 'GET' || target.includes('/_') || asked.table === null) return false;
  return query.split('&').every((part) => part === '' || plain.test(part));
}
