/**
 * The life of a table's dumps, as one total table that the compiler proves complete.
 *
 * A table nobody looked at is `absent`. Word that it may have changed makes it `pending`: a job waits in the queue.
 * A worker that takes the fence makes it `building`; word that comes meanwhile leaves it so, since the queue keeps
 * one more job for afterwards. The build ends in `published` (switched, or found to be published already), or breaks:
 * `failing` stays failing until a build succeeds, however often it is looked at or tried, so that the reason stays to
 * be read. A worker that dies says nothing: the next one begins again, from `building` to `building`. A table dropped
 * from the DataStore is `gone` from any state, once its blobs are withdrawn; made anew, it starts as pending.
 *
 * The state is for people and for pacing. What is served is decided by the manifest and the token alone, so a state
 * that is lost or late makes nothing wrong (promise P5).
 */

export const publicationStates = ['absent', 'pending', 'building', 'published', 'failing', 'gone'] as const;
export type PublicationState = (typeof publicationStates)[number];

/**
 * `noticed`: someone said look; `begun`: a worker took the fence; `switched`: its manifest is published; `confirmed`:
 * the published manifest is the table as it is; `found`: a manifest is there, perhaps of long ago; `broke`: the
 * attempt failed; `dropped`: the table is not there and its blobs are withdrawn; `missed`: the manifest is not in the
 * blob store any more.
 */
export const publicationEvents = [
  'noticed',
  'begun',
  'switched',
  'confirmed',
  'found',
  'broke',
  'dropped',
  'missed',
] as const;
export type PublicationEvent = (typeof publicationEvents)[number];

export const transitions: Readonly<
  Record<PublicationState, Readonly<Record<PublicationEvent, PublicationState>>>
> = {
  absent: {
    noticed: 'pending',
    begun: 'building',
    switched: 'published',
    confirmed: 'published',
    found: 'published',
    broke: 'failing',
    dropped: 'gone',
    missed: 'absent',
  },
  pending: {
    noticed: 'pending',
    begun: 'building',
    switched: 'published',
    confirmed: 'published',
    found: 'pending',
    broke: 'failing',
    dropped: 'gone',
    missed: 'pending',
  },
  building: {
    noticed: 'building',
    begun: 'building',
    switched: 'published',
    confirmed: 'published',
    found: 'building',
    broke: 'failing',
    dropped: 'gone',
    missed: 'building',
  },
  published: {
    noticed: 'pending',
    begun: 'building',
    switched: 'published',
    confirmed: 'published',
    found: 'published',
    broke: 'failing',
    dropped: 'gone',
    missed: 'absent',
  },
  failing: {
    noticed: 'failing',
    begun: 'failing',
    switched: 'published',
    confirmed: 'published',
    found: 'failing',
    broke: 'failing',
    dropped: 'gone',
    missed: 'failing',
  },
  gone: {
    noticed: 'pending',
    begun: 'building',
    switched: 'published',
    confirmed: 'published',
    found: 'published',
    broke: 'failing',
    dropped: 'gone',
    missed: 'gone',
  },
};

/** One event's column of the table, for the state database to look its own rows up in. */
export function statesAfter(event: PublicationEvent): Readonly<Record<PublicationState, PublicationState>> {
  return Object.fromEntries(publicationStates.map((life) => [life, transitions[life][event]])) as Record<
    PublicationState,
    PublicationState
  >;
}
