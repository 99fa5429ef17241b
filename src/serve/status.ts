/**
 * `/status`: what is published of which table, as JSON, and only what the caller may see (promise P9): the admin token
 * sees every table, everybody else those that CKAN lets them read.
 *
 * The state of a table is told by its manifest against its token of this moment, then by what is known of its
 * publication: `fresh`, `building` with the rows done, `failed` with the reason, `pending`, `absent`.
 */
import type { Context } from 'koa';
import type { Manifest } from '../manifest.ts';
import { mapPostgresErrors } from '../postgres/pool.ts';
import { lookUpTable, type TableState } from '../postgres/revision.ts';
import { publicationState, type DisplayState } from '../state/publication-state.ts';
import type { PublicationRecord } from '../state/publications.ts';
import { redact } from '../log.ts';
import { answerProblem } from './problem.ts';
import { isAdmin, callerFrom } from './who-asks.ts';
import type { ServeDeps } from './context.ts';

export interface TableStatus {
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

export async function answerStatusList(deps: ServeDeps, ctx: Context): Promise<void> {
  const offset = wholeNumber(ctx.query['offset'], 0, Number.MAX_SAFE_INTEGER);
  const limit = Math.max(1, wholeNumber(ctx.query['limit'], longestPage, longestPage));
  const ids = (await knownRecords(deps)).map(({ id }) => id);
  const page = ids.slice(offset, offset + limit);
  const seen = await readTableStatuses(deps, ctx, page);
  ctx.set('Cache-Control', 'private, no-store');
  ctx.body = {
    tables: seen.map(({ status }) => status),
    ...(offset + limit < ids.length ? { next: `?offset=${offset + limit}&limit=${limit}` } : {}),
    ...(isAdmin(deps, ctx) ? { total: ids.length } : {}),
  };
}

export async function answerStatus(deps: ServeDeps, ctx: Context, name: string): Promise<void> {
  const seen = await readTableStatus(deps, ctx, name);
  if (seen.kind === 'hidden') return answerProblem(ctx, 404, 'No such table, or not yours to see');
  if (seen.kind === 'unavailable') {
    ctx.set('Retry-After', '5');
    return answerProblem(ctx, 503, 'CKAN or the DataStore cannot be asked at the moment');
  }
  ctx.set('Cache-Control', 'private, no-store');
  ctx.body = seen.status;
}

export async function answerRebuild(deps: ServeDeps, ctx: Context, name: string): Promise<void> {
  if (!isAdmin(deps, ctx)) {
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

/** All tables that anything is known of, in the order of their ids. */
export async function knownRecords(deps: ServeDeps): Promise<PublicationRecord[]> {
  const records = deps.publications;
  if (records === null) return [];
  const known = await mapPostgresErrors('STATE_UNAVAILABLE', () => records.all());
  return [...known.values()]
    .filter((record) => record.state !== 'gone')
    .sort((one, other) => (one.id < other.id ? -1 : 1));
}

type SeenTable = Extract<TableView, { kind: 'table' }>;

/** Those of the tables that the caller may see, a few at a time. */
export async function readTableStatuses(
  deps: ServeDeps,
  ctx: Context,
  ids: readonly string[],
): Promise<SeenTable[]> {
  const seen: TableView[] = [];
  for (let start = 0; start < ids.length; start += 8) {
    seen.push(
      ...(await Promise.all(ids.slice(start, start + 8).map((id) => readTableStatus(deps, ctx, id)))),
    );
  }
  return seen.filter((one) => one.kind === 'table');
}

export async function readTableStatus(deps: ServeDeps, ctx: Context, name: string): Promise<TableView> {
  const state = await mapPostgresErrors('POSTGRES_UNAVAILABLE', () => lookUpTable(deps.readPool, name));
  if (state === null) return { kind: 'hidden' };
  if (!isAdmin(deps, ctx)) {
    const permit = await deps.permission.mayRead(state.id, callerFrom(deps, ctx.headers));
    if (permit.kind === 'unavailable') return { kind: 'unavailable', reason: permit.reason };
    if (permit.kind === 'refused') return { kind: 'hidden' };
  }
  return describeTable(deps, state);
}

async function describeTable(deps: ServeDeps, state: TableState): Promise<SeenTable> {
  const [kept, record] = await Promise.all([freshOf(deps, state), recordOf(deps, state)]);
  // a rebuild leaves the token as it was, so that a kept manifest may be the one before
  const isOld = kept !== null && (record?.publishedAt ?? 0) > new Date(kept.published_at);
  if (isOld) deps.manifests.forget(state.id);
  const fresh = isOld ? await freshOf(deps, state) : kept;
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

function freshOf(deps: ServeDeps, state: TableState): Promise<Manifest | null> {
  const profile = deps.profile();
  return profile === null ? Promise.resolve(null) : deps.manifests.fresh(state, profile);
}

/** The state database may be down: what is published is told without it. */
async function recordOf(deps: ServeDeps, state: TableState): Promise<PublicationRecord | null> {
  return (await deps.publications?.get(state.id).catch(() => null)) ?? null;
}

function wholeNumber(text: string | string[] | undefined, missing: number, most: number): number {
  return typeof text === 'string' && /^\d{1,15}$/.test(text) ? Math.min(Number(text), most) : missing;
}
