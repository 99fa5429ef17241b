/**
 * The differences between the CKAN versions whose bytes we give: one table, used by the formatter and by live queries.
 *
 * Facts from recorded answers of CKAN 2.11.6 and 2.12.0; a rule that is not named here is the same in both.
 */

export const ckanVersions = ['2.11', '2.12'] as const;
export type CkanVersion = (typeof ckanVersions)[number];

export interface CkanProfile {
  readonly version: CkanVersion;
  /** Changes whenever the same table would have other bytes; part of every revision token. */
  readonly fingerprint: string;
  /** `timestamp` columns end in `.mmm`, truncated (2.12, unless `ckan.datastore.ms_in_timestamp` is false). */
  readonly millisecondsInTimestamps: boolean;
  /** XML element names are cleaned and numbered (2.12). 2.11 writes them raw; we clean only what is not well-formed. */
  readonly xmlNames: 'raw' | 'clean';
  /** `gt`, `in`, `$or` and list-form filters are understood (2.12). */
  readonly filterOperators: boolean;
  /** Bad parameters are answered before existence and permission are checked (2.12). */
  readonly parametersBeforeTable: boolean;
  /** The file name of a dump that is requested by alias. */
  readonly fileNamedAfter: 'alias' | 'table';
  /** Types whose columns `q` searches alone; for other types it uses the whole-row index too (2.12: for all). */
  readonly columnsIndexedAlone: readonly string[];
  /** A bare `:word` in a search text becomes NULL: in 2.12 unless rows are ordered by `_id` alone, where it fails. */
  readonly searchWordsAfterColonAreNull: 'always' | 'unless by _id';
}

/** CKAN's own settings that change an answer, where they differ from the defaults of the version. */
interface CkanSettings {
  readonly msInTimestamp?: boolean | undefined;
}

export function ckanProfile(version: CkanVersion, settings: CkanSettings = {}): CkanProfile {
  const newer = version === '2.12';
  const millisecondsInTimestamps = newer && settings.msInTimestamp !== false;
  return {
    version,
    fingerprint: `${version}/${millisecondsInTimestamps ? 'ms' : 's'}/1`,
    millisecondsInTimestamps,
    xmlNames: newer ? 'clean' : 'raw',
    filterOperators: newer,
    parametersBeforeTable: newer,
    fileNamedAfter: newer ? 'table' : 'alias',
    searchWordsAfterColonAreNull: newer ? 'unless by _id' : 'always',
    columnsIndexedAlone: newer ? [] : ['text', 'tsvector'],
  };
}
