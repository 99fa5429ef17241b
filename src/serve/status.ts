/**
 * `/status`: what is published of which table, as JSON, and only what the caller may see (P9, nothing that CKAN would
 * refuse): the admin token sees every table, everybody else those that CKAN lets them read.
 *
 * The state of a table comes from its manifest against its token of this moment, then from the record of its
 * publication: `fresh`, `building` with the rows done, `failed` with the reason, `pending`, `absent`.
 */
import type { IncomingHttpHeaders } from 'node:http';
import { mapLimit } from '../async/map-limit.ts';
import { redact } from '../log.ts';
import type { Manifest } from '../manifest.ts';
import { mapPostgresErrors } from '../postgres/pool.ts';
import { lookUpTable, type TableState } from '../postgres/revision.ts';
import { publicationState, type DisplayState } from '../state/publication-state.ts';
import type { PublicationRecord } from '../state/publications.ts';
import { callerFrom, isAdmin } from './caller.ts';
import type { ServeDeps } from './context.ts';
import { answerProblem } from './errors.ts';
import type { ServeContext } from './request-state.ts';

export type StatusDeps = Pick<
  ServeDeps,
  'config' | 'readPool' | 'permission' | 'manifests' | 'profile' | 'publications'
>;

interface TableStatus {
  readonly id: string;
  readonly state: DisplayState;
  readonly tier: 'exact' | 'read-only' | null;
  readonly revision: string | null;
  readonly published_at: string | null;
  readonly rows: number | null;
  /** While building. */
  readonly rows_done?: number;
  /** While failed. */
  readonly reason?: string;
  readonly attempts?: number;
  readonly blobs: Readonly<Record<string, { readonly bytes: number; readonly sha256: string }>>;
}

/** One table as a caller may see it. */
export type TableView =
  | {
      readonly kind: 'table';
      readonly status: TableStatus;
      readonly manifest: Manifest | null;
      readonly record: PublicationRecord | null;
    }
  | { readonly kind: 'hidden' }
  | { readonly kind: 'unavailable'; readonly reason: string };

const longestPage = 100;

export async function answerStatusList(deps: StatusDeps, ctx: ServeContext): Promise<void> {
  const offset = wholeNumber(ctx.query['offset'], 0, Number.MAX_SAFE_INTEGER);
  const limit = Math.max(1, wholeNumber(ctx.query['limit'], longestPage, longestPage));
  const ids = (await readRecords(deps)).map(({ id }) => id);
  const page = ids.slice(offset, offset + limit);
  const seen = await readTableStatuses(deps, ctx.headers, page);
  ctx.set('Cache-Control', 'private, no-store');
  ctx.body = {
    tables: seen.map(({ status }) => status),
    ...(offset + limit < ids.length ? { next: `?offset=${offset + limit}&limit=${limit}` } : {}),
    ...(isAdmin(deps.config, ctx.headers) ? { total: ids.length } : {}),
  };
}

export async function answerStatus(deps: StatusDeps, ctx: ServeContext, name: string): Promise<void> {
  const seen = await readTableStatus(deps, ctx.headers, name);
  if (seen.kind === 'hidden') return answerProblem(ctx, 404, 'No such table, or not yours to see');
  if (seen.kind === 'unavailable') {
    ctx.set('Retry-After', '5');
    return answerProblem(ctx, 503, 'CKAN or the DataStore cannot be asked at the moment');
  }
  ctx.set('Cache-Control', 'private, no-store');
  ctx.body = seen.status;
}

export async function answerRebuild(
  deps: Pick<ServeDeps, 'config' | 'readPool' | 'rebuild'>,
  ctx: ServeContext,
  name: string,
): Promise<void> {
  if (!isAdmin(deps.config, ctx.headers)) {
    ctx.set('WWW-Authenticate', 'Bearer');
    return answerProblem(ctx, 401, 'This needs the admin token');
  }
  if (deps.rebuild === null) return answerProblem(ctx, 503, 'Nothing is published here');
  const state = await mapPostgresErrors('POSTGRES_UNAVAILABLE', () => lookUpTable(deps.readPool, name));
  if (state === null) return answerProblem(ctx, 404, 'No such table');
  await deps.rebuild(state.id);
  ctx.status = 202;
  ctx.body = { queued: state.id };
}

/** The records of all tables that are not gone, in the order of their ids. */
export async function readRecords({
  publications,
}: Pick<ServeDeps, 'publications'>): Promise<PublicationRecord[]> {
  if (publications === null) return [];
  const records = await mapPostgresErrors('STATE_UNAVAILABLE', () => publications.all());
  return [...records.values()]
    .filter((record) => record.state !== 'gone')
    .sort((one, other) => (one.id < other.id ? -1 : 1));
}

type VisibleTable = Extract<TableView, { kind: 'table' }>;

/** Each table costs CKAN a question. */
const tablesAtOnce = 8;

/** Those of the tables that the caller may see. */
export async function readTableStatuses(
  deps: StatusDeps,
  headers: IncomingHttpHeaders,
  ids: readonly string[],
): Promise<VisibleTable[]> {
  const views = await mapLimit(ids, tablesAtOnce, (id) => readTableStatus(deps, headers, id));
  return views.filter((view) => view.kind === 'table');
}

export async function readTableStatus(
  deps: StatusDeps,
  headers: IncomingHttpHeaders,
  name: string,
): Promise<TableView> {
  const state = await mapPostgresErrors('POSTGRES_UNAVAILABLE', () => lookUpTable(deps.readPool, name));
  if (state === null) return { kind: 'hidden' };
  if (!isAdmin(deps.config, headers)) {
    const permit = await deps.permission.mayRead(state.id, callerFrom(deps.config, headers));
    if (permit.kind === 'unavailable') return { kind: 'unavailable', reason: permit.reason };
    if (permit.kind === 'refused') return { kind: 'hidden' };
  }
  return describeTable(deps, state);
}

async function describeTable(deps: StatusDeps, state: TableState): Promise<VisibleTable> {
  const [cached, record] = await Promise.all([freshManifestOf(deps, state), recordOf(deps, state)]);
  // A rebuild leaves the token as it was, so a cached manifest may be the one before.
  const isOld = cached !== null && (record?.publishedAt ?? 0) > new Date(cached.published_at);
  if (isOld) deps.manifests.forget(state.id);
  const fresh = isOld ? await freshManifestOf(deps, state) : cached;
  const manifest = fresh ?? (await deps.manifests.published(state.id));
  const now = publicationState(record, fresh !== null);
  const status: TableStatus = {
    id: state.id,
    state: now,
    tier: state.tier,
    revision: manifest?.revision ?? null,
    published_at: manifest?.published_at ?? null,
    rows: manifest?.rows ?? null,
    ...(now === 'building' ? { rows_done: record?.rowsDone ?? 0 } : {}),
    ...(now === 'failed' ? { reason: redact(record?.lastError ?? ''), attempts: record?.attempts ?? 0 } : {}),
    blobs: Object.fromEntries(
      Object.entries(manifest?.blobs ?? {}).map(([variant, { bytes, sha256 }]) => [
        variant,
        { bytes, sha256 },
      ]),
    ),
  };
  return { kind: 'table', status, manifest, record };
}

function freshManifestOf(deps: StatusDeps, state: TableState): Promise<Manifest | null> {
  const profile = deps.profile();
  return profile === null ? Promise.resolve(null) : deps.manifests.fresh(state, profile);
}

/** Null while the state database is down: what is published can be told without it. */
async function recordOf(deps: StatusDeps, state: TableState): Promise<PublicationRecord | null> {
  return (await deps.publications?.get(state.id).catch(() => null)) ?? null;
}

function wholeNumber(text: string | string[] | undefined, missing: number, most: number): number {
  return typeof text === 'string' && /^\d{1,15}$/.test(text) ? Math.min(Number(text), most) : missing;
}
