/**
 * The deviations: every reason for which a recorded answer of CKAN counts as a defect, and what this service answers
 * instead. The README's list is written from it; the conformance suite holds it complete.
 */
export const deviations: Readonly<Record<string, string>> = {
  'CKAN fails':
    '400 that names the parameter, or the answer that the other formats give; 404 where the caller may not see the table',
  'CKAN breaks off': 'the whole answer',
  'limit 0 has no header': 'as for an empty table: header row or frame, no records',
  'not well-formed xml':
    'names cleaned where XML does not allow them, characters that XML does not allow as U+FFFD',
  'distinct by page': 'distinct over all rows that match, each once, then order and limit',
  'own _id filter lost after page 1': 'the rows that match, none beyond',
  'only page 1': 'all rows, in the order asked for',
  'varies: oid column: the numbers depend on the load': 'the numbers of this database',
};

/** Repairs that no recorded answer shows, since they need more rows than a corpus holds; each has a test of its own. */
export const deviationsOfLargeTables: Readonly<Record<string, string>> = {
  'rows with equal sort values':
    'all rows, each once; CKAN asks page by page without a second sort key, so rows come twice or never (69,738 distinct rows of 70,000 in a trial)',
};
