/**
 * The visibility of a table has changed: besides its data, the other change that makes a published dump wrong (P10, a table
 * made private is not served).
 *
 * Each time CKAN says whether anonymous users may read a table, to an answer or to a publication, that is compared with
 * what is published. The public blobs of a table that was made private are deleted at once, and it is published again in
 * its turn; a table that was made public is published again under the public prefix. Tables that nobody asks for are found
 * by the sweep: a few pages of CKAN's search list what is public. Only tables that they do not list as published are asked
 * about one by one, and some of the others in turn. While CKAN cannot be asked, nothing is changed.
 */
import { mapLimit } from '../async/map-limit.ts';
import type { BlobStore } from '../blob-store/blob-store.ts';
import { removePublicBlobs } from '../publish/cleanup.ts';
import { errorMessage } from '../errors.ts';
import type { Log } from '../log.ts';
import type { TableChange, Publications, PublicationRecord } from '../state/publications.ts';
import type { ResourceId } from '../postgres/table.ts';

/** How CKAN is asked about anonymous users. */
export interface AnonymousRights {
  /** Null while CKAN cannot be asked. */
  isPublic(id: ResourceId): Promise<boolean | null>;
  /** The public resources as CKAN's search knows them; null where CKAN is not asked and everything is public. */
  readonly publicResources: (() => Promise<{ readonly ids: ReadonlySet<string> }>) | null;
}

interface VisibilityDeps {
  readonly rights: AnonymousRights;
  readonly store: BlobStore;
  readonly publications: Pick<Publications, 'get' | 'all' | 'recordRemoved'>;
  readonly enqueue: (changes: readonly TableChange[]) => Promise<void>;
  readonly log: Log;
}

interface VisibilityReport {
  /** Tables that CKAN was asked about one by one. */
  readonly asked: number;
  readonly madePrivate: number;
  readonly madePublic: number;
  /** Tables that CKAN could not be asked about. */
  readonly unknown: number;
}

type VisibilityChange = 'made private' | 'made public' | 'unchanged';

export interface VisibilityWatcher {
  /** CKAN has said whether anonymous users may read a table. Never rejects: what fails, the sweep finds. */
  onVisibility(id: ResourceId, isPublic: boolean): Promise<VisibilityChange>;
  /** Compare every published table. */
  check(): Promise<VisibilityReport>;
}

/** Tables that the search lists as public are asked about too, so many in each sweep: plugins may refuse them. */
const askedInTurn = 100;
const mostAsked = 1000;
const questionsAtOnce = 4;

export function createVisibilityWatcher(deps: VisibilityDeps): VisibilityWatcher {
  const pending = new Map<ResourceId, { isPublic: boolean; applied: Promise<VisibilityChange> }>();
  let sweeps = 0;
  const onVisibility: VisibilityWatcher['onVisibility'] = (id, isPublic) => {
    const before = pending.get(id);
    if (before?.isPublic === isPublic) return before.applied;
    // The opposite is applied first: the later answer stands.
    const applied = (before?.applied ?? Promise.resolve())
      .then(() => applyVisibility(deps, id, isPublic))
      .catch((error: unknown) => {
        deps.log.warn(
          { table: id, reason: errorMessage(error) },
          'a change of visibility failed; tried again',
        );
        return 'unchanged' as const;
      })
      .finally(() => {
        if (pending.get(id)?.applied === applied) pending.delete(id);
      });
    pending.set(id, { isPublic, applied });
    return applied;
  };
  const check = async (): Promise<VisibilityReport> => {
    const { publicResources } = deps.rights;
    if (publicResources === null) return { asked: 0, madePrivate: 0, madePublic: 0, unknown: 0 };
    const published = [...(await deps.publications.all()).values()].filter(({ token }) => token !== null);
    const listed = published.length === 0 ? new Set<string>() : (await publicResources()).ids;
    const doubtful = published.filter((record) => record.public !== listed.has(record.id));
    const others = published.filter((record) => record.public && listed.has(record.id));
    const chosen = [...someInTurn(doubtful, mostAsked, sweeps), ...someInTurn(others, askedInTurn, sweeps)];
    sweeps += 1;
    const report = await askEach(deps, onVisibility, chosen);
    deps.log.info({ tables: published.length, ...report }, 'visibility');
    return report;
  };
  return { onVisibility, check };
}

/** `count` of them, the next ones in each turn. */
function someInTurn<Entry>(entries: readonly Entry[], count: number, turn: number): Entry[] {
  if (entries.length <= count) return [...entries];
  const first = (turn * count) % entries.length;
  return [...entries.slice(first), ...entries.slice(0, first)].slice(0, count);
}

async function applyVisibility(
  deps: VisibilityDeps,
  id: ResourceId,
  isPublic: boolean,
): Promise<VisibilityChange> {
  const record = await deps.publications.get(id);
  if (record === null || record.token === null || record.public === isPublic) return 'unchanged';
  if (!isPublic) {
    const blobs = await removePublicBlobs(deps.store, id);
    if (blobs > 0) await deps.publications.recordRemoved([id], 'manifest missing');
    deps.log.info({ table: id, blobs }, 'made private');
  }
  await deps.enqueue([{ id }]);
  return isPublic ? 'made public' : 'made private';
}

async function askEach(
  { rights }: VisibilityDeps,
  onVisibility: VisibilityWatcher['onVisibility'],
  records: readonly PublicationRecord[],
): Promise<VisibilityReport> {
  const counts = { asked: 0, madePrivate: 0, madePublic: 0, unknown: 0 };
  let canAsk = true;
  await mapLimit(records, questionsAtOnce, async ({ id }) => {
    let isPublic: boolean | null = null;
    if (canAsk) {
      isPublic = await rights.isPublic(id);
      counts.asked += 1;
    }
    if (isPublic === null) {
      // CKAN is not asked about the rest.
      canAsk = false;
      counts.unknown += 1;
      return;
    }
    const change = await onVisibility(id, isPublic);
    if (change === 'made private') counts.madePrivate += 1;
    if (change === 'made public') counts.madePublic += 1;
  });
  return counts;
}
