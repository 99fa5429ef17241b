/**
 * Who may read a table has changed: the other way, besides its data, in which what is published stops being right.
 *
 * Each time CKAN says whether anonymous users may read a table (an answer or a publication asked), that is compared with
 * what is published. Made private, its public blobs go at once and it is published anew in its own time; made public,
 * it is published to where everybody finds it. Tables that nobody asks for are found by the sweep: a few pages of CKAN's
 * search name what is public, and only what they do not name is asked for one by one, as are some others in turn. While
 * CKAN cannot be asked nothing is changed (promise P10).
 */
import type { BlobStore } from '../blob-store/blob-store.ts';
import { removePublicBlobs } from '../publish/conceal.ts';
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

export interface VisibilityDeps {
  readonly rights: AnonymousRights;
  readonly store: BlobStore;
  readonly publications: Pick<Publications, 'get' | 'all' | 'recordRemoved'>;
  readonly enqueue: (notices: readonly TableChange[]) => Promise<void>;
  readonly log: Log;
}

export interface VisibilityReport {
  /** Tables asked for one by one. */
  readonly asked: number;
  readonly concealed: number;
  readonly revealed: number;
  /** CKAN could not be asked about some. */
  readonly unsure: number;
}

export interface VisibilityWatcher {
  /** CKAN has said whether anonymous users may read a table. Never rejects: the sweep finds what was lost. */
  onVisibility(id: ResourceId, anyone: boolean): Promise<'concealed' | 'revealed' | 'as published'>;
  /** Look at every published table. */
  check(): Promise<VisibilityReport>;
}

/** Tables that the search names as public are asked for all the same, so many a sweep: plugins may think otherwise. */
const askedInTurn = 100;
const mostAsked = 1000;
const atOnce = 4;

export function createVisibilityWatcher(deps: VisibilityDeps): VisibilityWatcher {
  const tasks = new Map<
    ResourceId,
    { anyone: boolean; settling: ReturnType<VisibilityWatcher['onVisibility']> }
  >();
  let turn = 0;
  const onVisibility: VisibilityWatcher['onVisibility'] = (id, anyone) => {
    const before = tasks.get(id);
    if (before?.anyone === anyone) return before.settling;
    // The opposite is settled first: the later word stands.
    const settling = (before?.settling ?? Promise.resolve())
      .then(() => settle(deps, id, anyone))
      .catch((error: unknown) => {
        deps.log.warn({ table: id, reason: errorMessage(error) }, 'who may read it has changed; tried again');
        return 'as published' as const;
      })
      .finally(() => {
        if (tasks.get(id)?.settling === settling) tasks.delete(id);
      });
    tasks.set(id, { anyone, settling });
    return settling;
  };
  const check = async (): Promise<VisibilityReport> => {
    const { publicResources } = deps.rights;
    if (publicResources === null) return { asked: 0, concealed: 0, revealed: 0, unsure: 0 };
    const published = [...(await deps.publications.all()).values()].filter(({ token }) => token !== null);
    const listed = published.length === 0 ? new Set<string>() : (await publicResources()).ids;
    const doubtful = published.filter((record) => record.public !== listed.has(record.id));
    const others = published.filter((record) => record.public && listed.has(record.id));
    const chosen = [...someInTurn(doubtful, mostAsked, turn), ...someInTurn(others, askedInTurn, turn)];
    turn += 1;
    const report = await askEach(deps, onVisibility, chosen);
    deps.log.info({ tables: published.length, ...report }, 'who may read');
    return report;
  };
  return { onVisibility, check };
}

/** `count` of them, the next ones at each turn. */
function someInTurn<Entry>(entries: readonly Entry[], count: number, turn: number): Entry[] {
  if (entries.length <= count) return [...entries];
  const first = (turn * count) % entries.length;
  return [...entries.slice(first), ...entries.slice(0, first)].slice(0, count);
}

async function settle(
  deps: VisibilityDeps,
  id: ResourceId,
  anyone: boolean,
): ReturnType<VisibilityWatcher['onVisibility']> {
  const record = await deps.publications.get(id);
  if (record === null || record.token === null || record.public === anyone) return 'as published';
  if (!anyone) {
    const blobs = await removePublicBlobs(deps.store, id);
    if (blobs > 0) await deps.publications.recordRemoved([id], 'missed');
    deps.log.info({ table: id, blobs }, 'made private');
  }
  await deps.enqueue([{ id }]);
  return anyone ? 'revealed' : 'concealed';
}

async function askEach(
  { rights }: VisibilityDeps,
  onVisibility: VisibilityWatcher['onVisibility'],
  records: readonly PublicationRecord[],
): Promise<VisibilityReport> {
  const counts = { asked: 0, concealed: 0, revealed: 0, unsure: 0 };
  const left = [...records];
  const askNext = async (): Promise<void> => {
    for (let next = left.shift(); next !== undefined; next = left.shift()) {
      const anyone = await rights.isPublic(next.id);
      counts.asked += 1;
      if (anyone === null) {
        counts.unsure += 1 + left.splice(0).length;
        return;
      }
      const outcome = await onVisibility(next.id, anyone);
      if (outcome !== 'as published') counts[outcome] += 1;
    }
  };
  await Promise.all(Array.from({ length: atOnce }, askNext));
  return counts;
}
