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
import { conceal } from '../publish/conceal.ts';
import { reasonOf } from '../errors.ts';
import type { Log } from '../log.ts';
import type { Notice, Records, TableRecord } from '../state/publications.ts';
import type { ResourceId } from '../postgres/table.ts';

/** How CKAN is asked about anonymous users. */
export interface AnonymousRights {
  /** Null while CKAN cannot be asked. */
  mayAnyoneRead(id: ResourceId): Promise<boolean | null>;
  /** The public resources as CKAN's search knows them; null where CKAN is not asked and everything is public. */
  readonly publicResources: (() => Promise<{ readonly ids: ReadonlySet<string> }>) | null;
}

export interface ReadersWorld {
  readonly rights: AnonymousRights;
  readonly store: BlobStore;
  readonly records: Pick<Records, 'get' | 'all' | 'lost'>;
  readonly look: (notices: readonly Notice[]) => Promise<void>;
  readonly log: Log;
}

export interface ReadersReport {
  /** Tables asked for one by one. */
  readonly asked: number;
  readonly concealed: number;
  readonly revealed: number;
  /** CKAN could not be asked about some. */
  readonly unsure: number;
}

export interface Readers {
  /** CKAN has said whether anonymous users may read a table. Never rejects: the sweep finds what was lost. */
  heard(id: ResourceId, anyone: boolean): Promise<'concealed' | 'revealed' | 'as published'>;
  /** Look at every published table. */
  check(): Promise<ReadersReport>;
}

/** Tables that the search names as public are asked for all the same, so many a sweep: plugins may think otherwise. */
const askedInTurn = 100;
const mostAsked = 1000;
const atOnce = 4;

export function createReaders(world: ReadersWorld): Readers {
  const underWay = new Map<ResourceId, { anyone: boolean; settling: ReturnType<Readers['heard']> }>();
  let turn = 0;
  const heard: Readers['heard'] = (id, anyone) => {
    const before = underWay.get(id);
    if (before?.anyone === anyone) return before.settling;
    // The opposite is settled first: the later word stands.
    const settling = (before?.settling ?? Promise.resolve())
      .then(() => settle(world, id, anyone))
      .catch((error: unknown) => {
        world.log.warn({ table: id, reason: reasonOf(error) }, 'who may read it has changed; tried again');
        return 'as published' as const;
      })
      .finally(() => {
        if (underWay.get(id)?.settling === settling) underWay.delete(id);
      });
    underWay.set(id, { anyone, settling });
    return settling;
  };
  const check = async (): Promise<ReadersReport> => {
    const { publicResources } = world.rights;
    if (publicResources === null) return { asked: 0, concealed: 0, revealed: 0, unsure: 0 };
    const published = [...(await world.records.all()).values()].filter(({ token }) => token !== null);
    const listed = published.length === 0 ? new Set<string>() : (await publicResources()).ids;
    const doubtful = published.filter((record) => record.public !== listed.has(record.id));
    const others = published.filter((record) => record.public && listed.has(record.id));
    const chosen = [...someInTurn(doubtful, mostAsked, turn), ...someInTurn(others, askedInTurn, turn)];
    turn += 1;
    const report = await askEach(world, heard, chosen);
    world.log.info({ tables: published.length, ...report }, 'who may read');
    return report;
  };
  return { heard, check };
}

/** `count` of them, the next ones at each turn. */
function someInTurn<Entry>(entries: readonly Entry[], count: number, turn: number): Entry[] {
  if (entries.length <= count) return [...entries];
  const first = (turn * count) % entries.length;
  return [...entries.slice(first), ...entries.slice(0, first)].slice(0, count);
}

async function settle(world: ReadersWorld, id: ResourceId, anyone: boolean): ReturnType<Readers['heard']> {
  const record = await world.records.get(id);
  if (record === null || record.token === null || record.public === anyone) return 'as published';
  if (!anyone) {
    const blobs = await conceal(world.store, id);
    if (blobs > 0) await world.records.lost([id], 'missed');
    world.log.info({ table: id, blobs }, 'made private');
  }
  await world.look([{ id }]);
  return anyone ? 'revealed' : 'concealed';
}

async function askEach(
  { rights }: ReadersWorld,
  heard: Readers['heard'],
  records: readonly TableRecord[],
): Promise<ReadersReport> {
  const counts = { asked: 0, concealed: 0, revealed: 0, unsure: 0 };
  const left = [...records];
  const askNext = async (): Promise<void> => {
    for (let next = left.shift(); next !== undefined; next = left.shift()) {
      const anyone = await rights.mayAnyoneRead(next.id);
      counts.asked += 1;
      if (anyone === null) {
        counts.unsure += 1 + left.splice(0).length;
        return;
      }
      const outcome = await heard(next.id, anyone);
      if (outcome !== 'as published') counts[outcome] += 1;
    }
  };
  await Promise.all(Array.from({ length: atOnce }, askNext));
  return counts;
}
