/**
 * The state of a table's publications, as one total table that the compiler proves complete.
 *
 * A table without publications is `absent`. A change makes it `pending`: a job waits in the queue. A worker that takes the
 * fence makes it `building`; a change meanwhile leaves it so, since the queue keeps one more job for afterwards. The build
 * ends in `published`, whether the manifest was replaced or was right already, or it fails. `failing` stays until a build
 * succeeds, however often the table changes or is tried, so that the reason can be read. A worker that dies records
 * nothing: the next one goes from `building` to `building`. A table that was dropped from the DataStore is `gone`, once its
 * blobs are deleted; made anew, it starts as pending.
 *
 * The state is for people and for pacing. What is served is decided by the manifest and the token alone, so a state that
 * is lost or late makes nothing wrong (P5, replicas never regress).
 */

export const publicationStates = ['absent', 'pending', 'building', 'published', 'failing', 'gone'] as const;
export type PublicationState = (typeof publicationStates)[number];

/**
 * `changed`: the table may have changed; `started`: a worker took the fence; `published`: it replaced the manifest;
 * `unchanged`: it found the manifest equal to the table; `discovered`: a listing of the store showed a manifest, perhaps
 * an old one; `failed`: the attempt failed; `table dropped`: the table is gone and its blobs are deleted; `manifest
 * missing`: the manifest is not in the blob store any more.
 */
export const publicationEvents = [
  'changed',
  'started',
  'published',
  'unchanged',
  'discovered',
  'failed',
  'table dropped',
  'manifest missing',
] as const;
export type PublicationEvent = (typeof publicationEvents)[number];

export const transitions: Readonly<
  Record<PublicationState, Readonly<Record<PublicationEvent, PublicationState>>>
> = {
  absent: {
    changed: 'pending',
    started: 'building',
    published: 'published',
    unchanged: 'published',
    discovered: 'published',
    failed: 'failing',
    'table dropped': 'gone',
    'manifest missing': 'absent',
  },
  pending: {
    changed: 'pending',
    started: 'building',
    published: 'published',
    unchanged: 'published',
    discovered: 'pending',
    failed: 'failing',
    'table dropped': 'gone',
    'manifest missing': 'pending',
  },
  building: {
    changed: 'building',
    started: 'building',
    published: 'published',
    unchanged: 'published',
    discovered: 'building',
    failed: 'failing',
    'table dropped': 'gone',
    'manifest missing': 'building',
  },
  published: {
    changed: 'pending',
    started: 'building',
    published: 'published',
    unchanged: 'published',
    discovered: 'published',
    failed: 'failing',
    'table dropped': 'gone',
    'manifest missing': 'absent',
  },
  failing: {
    changed: 'failing',
    started: 'failing',
    published: 'published',
    unchanged: 'published',
    discovered: 'failing',
    failed: 'failing',
    'table dropped': 'gone',
    'manifest missing': 'failing',
  },
  gone: {
    changed: 'pending',
    started: 'building',
    published: 'published',
    unchanged: 'published',
    discovered: 'published',
    failed: 'failing',
    'table dropped': 'gone',
    'manifest missing': 'gone',
  },
};

/** The state after an event, by the state before it: the state database looks its rows up in it. */
export function statesAfter(event: PublicationEvent): Readonly<Record<PublicationState, PublicationState>> {
  return Object.fromEntries(publicationStates.map((state) => [state, transitions[state][event]])) as Record<
    PublicationState,
    PublicationState
  >;
}

/** A table's state as people read it: in `/status`, on the pages, on the command line and in the metrics. */
export type DisplayState = 'fresh' | 'pending' | 'building' | 'failed' | 'absent';

/**
 * What people are told of a table. `isFresh`: whether the published dump is the table as it is; left out where it was not
 * compared, and the record decides. `building` needs a living worker: after a crash the table is pending again.
 */
export function publicationState(
  record: { readonly state: PublicationState; readonly leased: boolean } | null,
  isFresh: boolean = record?.state === 'published',
): DisplayState {
  if (record?.state === 'building' && record.leased) return 'building';
  if (isFresh) return 'fresh';
  if (record === null || record.state === 'absent' || record.state === 'gone') return 'absent';
  return record.state === 'failing' ? 'failed' : 'pending';
}
