/**
 * One page of the tables that a caller may see, found by asking CKAN about one after the other until the page is full
 * (P9, nothing that CKAN would refuse): tables that the caller may not see leave neither a gap nor a count.
 */
import type { IncomingHttpHeaders } from 'node:http';
import { mapLimit } from '../async/map-limit.ts';
import { DumperError } from '../errors.ts';
import { mapPostgresErrors } from '../postgres/pool.ts';
import type { ListPosition, PublicationFilter, PublicationSort } from '../state/publication-list.ts';
import { anonymous, callerFrom, isAdmin } from './caller.ts';
import { openPosition, sealPosition } from './list-position.ts';
import { readTableStatus, type StatusDeps, type VisibleTable } from './table-status.ts';

interface VisiblePageRequest {
  readonly headers: IncomingHttpHeaders;
  /** Aborts when the caller has left: nobody is asked on its behalf then. */
  readonly signal: AbortSignal;
  readonly filter: Omit<PublicationFilter, 'withoutPrivate'>;
  readonly sort: PublicationSort;
  /** What `next` of the page before said. */
  readonly after: string | null;
  /** For those who see all tables. */
  readonly offset?: number;
  readonly limit: number;
}

interface VisiblePage {
  readonly tables: readonly VisibleTable[];
  /** Null on the last page. */
  readonly next: string | null;
}

/** Each table costs CKAN a question, unless its decision is remembered. */
const mostLookedAt = 300;
const lookedAtTogether = 24;
const tablesAtOnce = 8;

/** Whether nothing is hidden from the caller, so that tables may be counted. */
export function seesAllTables({ config }: Pick<StatusDeps, 'config'>, headers: IncomingHttpHeaders): boolean {
  return config.DUMPER_AUTHORIZE === 'off' || isAdmin(config, headers);
}

/** Whether `after` is what a list in this order said. */
export async function isPosition(
  { publications }: StatusDeps,
  sort: PublicationSort,
  after: string,
): Promise<boolean> {
  if (publications === null) return false;
  const key = await mapPostgresErrors('STATE_UNAVAILABLE', () => publications.positionKey());
  return openPosition(key, sort, after) !== null;
}

/** An `after` that is not ours is as none. */
export async function readVisiblePage(deps: StatusDeps, request: VisiblePageRequest): Promise<VisiblePage> {
  const { publications, config } = deps;
  if (publications === null) return { tables: [], next: null };
  const positionKey = await mapPostgresErrors('STATE_UNAVAILABLE', () => publications.positionKey());
  const { headers, filter, sort, limit, offset = 0 } = request;
  const isAnonymous = callerFrom(config, headers) === anonymous && !seesAllTables(deps, headers);
  const after = request.after === null ? null : openPosition(positionKey, sort, request.after);
  const candidates = await mapPostgresErrors('STATE_UNAVAILABLE', () =>
    publications.list(
      { ...filter, withoutPrivate: isAnonymous },
      { sort, after, offset, limit: mostLookedAt },
    ),
  );
  const seen = await lookAt(deps, request, candidates);
  // One more than the page holds tells whether there is another page.
  const last =
    seen.length > limit
      ? seen[limit - 1]?.position
      : candidates.length === mostLookedAt
        ? candidates.at(-1)?.position
        : undefined;
  return {
    tables: seen.slice(0, limit).map(({ table }) => table),
    next: last === undefined ? null : sealPosition(positionKey, sort, last),
  };
}

interface Seen {
  readonly table: VisibleTable;
  readonly position: ListPosition;
}

/** Up to one more than `limit`. */
async function lookAt(
  deps: StatusDeps,
  { headers, signal, limit }: VisiblePageRequest,
  candidates: readonly { readonly position: ListPosition }[],
): Promise<Seen[]> {
  const seen: Seen[] = [];
  let unavailable = 0;
  for (let from = 0; from < candidates.length && seen.length <= limit && !signal.aborted;) {
    const together = candidates.slice(from, from + Math.min(lookedAtTogether, limit + 1 - seen.length));
    from += together.length;
    const views = await mapLimit(together, tablesAtOnce, async ({ position }) => ({
      position,
      view: await readTableStatus(deps, headers, position.id),
    }));
    for (const { position, view } of views) {
      if (view.kind === 'table') seen.push({ table: view, position });
      if (view.kind === 'unavailable') unavailable += 1;
    }
    // One table that CKAN cannot answer for is left out; a CKAN that answers for none is down.
    if (unavailable === from) throw new DumperError('CKAN_UNAVAILABLE', 'CKAN decides about no table');
  }
  return seen;
}
