/**
 * What CKAN is asked about where there is no such table. Without a question, time and CKAN's outages would tell what is
 * absent from what is private (P9, nothing that CKAN would refuse). Not the name itself: the table may be made in the next
 * moment, and then nothing that CKAN said while it was not there may be remembered.
 */
import { createHash } from 'node:crypto';
import { asResourceId, type ResourceId } from '../postgres/table.ts';

/** Always the same for a name, in the form of a resource's id. */
export function standInFor(name: string): ResourceId {
  const hex = createHash('sha256').update(`no table ${name}`).digest('hex');
  const groups = [hex.slice(0, 8), hex.slice(8, 12), `4${hex.slice(13, 16)}`, `8${hex.slice(17, 20)}`];
  return asResourceId([...groups, hex.slice(20, 32)].join('-'));
}
