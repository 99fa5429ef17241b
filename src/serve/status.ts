/**
 * `/status`: what is published of which table, as JSON, and only what the caller may see (promise P9): the admin token
 * sees every table, everybody else those that CKAN lets them read.
 *
 * The state of a table is told by its manifest against its token of this moment, then by what is known of its
 * publication: `fresh`, `building` with the rows done, `failed` with the reason, `pending`, `absent`.
 */
import type { Context } from 'koa';
import type { Manifest } from '../manifest.ts';
import { asking } from '../postgres/pool.ts';
import { lookUp, type TableState } from '../postgres/revision.ts';
import type { TableRecord } from '../state/publications.ts';
import { redact } from '../log.ts';
import { asResourceId } from '../postgres/table.ts';
import { answerProblem } from './problem.ts';
import { isAdmin, whoAsks } from './who-asks.ts';
import type { ServeWorld } from './context.ts';

export interface TableStatus {
  readonly id: string;
  readonly state: 'fresh' | 'pending' | 'building' | 'failed' | 'absent';
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

export type Seen =
  | {
      readonly kind: 'table';
      readonly status: TableStatus;
      readonly manifest: Manifest | null;
      readonly record: TableRecord | null;
    }
  | { readonly kind: 'hidden' }
  | { readonly kind: 'unavailable'; readonly reason: string };

const longestPage = 100;

export async function answerStatusList(world: ServeWorld, ctx: Context): Promise<void> {
  const offset = wholeNumber(ctx.query['offset'], 0, Number.MAX_SAFE_INTEGER);
  const limit = Math.max(1, wholeNumber(ctx.query['limit'], longestPage, longestPage));
  const ids = (await knownRecords(world)).map(({ id }) => id);
  const page = ids.slice(offset, offset + limit);
  const seen = await seeTables(world, ctx, page);
  ctx.set('Cache-Control', 'private, no-store');
  ctx.body = {
    tables: seen.map(({ status }) => status),
    ...(offset + limit < ids.length ? { next: `?offset=${offset + limit}&limit=${limit}` } : {}),
    ...(isAdmin(world, ctx) ? { total: ids.length } : {}),
  };
}

export async function answerStatus(world: ServeWorld, ctx: Context, name: string): Promise<void> {
  const seen = await seeTable(world, ctx, name);
  if (seen.kind === 'hidden') return answerProblem(ctx, 404, 'No such table, or not yours to see');
  if (seen.kind === 'unavailable') {
    ctx.set('Retry-After', '5');
    return answerProblem(ctx, 503, 'CKAN or the DataStore cannot be asked at the moment');
  }
  ctx.set('Cache-Control', 'private, no-store');
  ctx.body = seen.status;
}

export async function answerRebuild(world: ServeWorld, ctx: Context, name: string): Promise<void> {
  if (!isAdmin(world, ctx)) {
    ctx.set('WWW-Authenticate', 'Bearer');
    return answerProblem(ctx, 401, 'This needs the admin token');
  }
  if (world.rebuild === null) return answerProblem(ctx, 503, 'Nothing is published here');
  const state = await asking('POSTGRES_UNAVAILABLE', () => lookUp(world.readPool, name));
  if (state === null) return answerProblem(ctx, 404, 'No such table');
  await world.rebuild(state.id);
  ctx.status = 202;
  ctx.body = { queued: state.id };
}

/** All tables that anything is known of, in the order of their ids. */
export async function knownRecords(world: ServeWorld): Promise<TableRecord[]> {
  const records = world.records;
  if (records === null) return [];
  const known = await asking('STATE_UNAVAILABLE', () => records.all());
  return [...known.values()]
    .filter((record) => record.life !== 'gone')
    .sort((one, other) => (one.id < other.id ? -1 : 1));
}

type SeenTable = Extract<Seen, { kind: 'table' }>;

/** Those of the tables that the caller may see, a few at a time. */
export async function seeTables(
  world: ServeWorld,
  ctx: Context,
  ids: readonly string[],
): Promise<SeenTable[]> {
  const seen: Seen[] = [];
  for (let start = 0; start < ids.length; start += 8) {
    seen.push(...(await Promise.all(ids.slice(start, start + 8).map((id) => seeTable(world, ctx, id)))));
  }
  return seen.filter((one) => one.kind === 'table');
}

export async function seeTable(world: ServeWorld, ctx: Context, name: string): Promise<Seen> {
  const state = await asking('POSTGRES_UNAVAILABLE', () => lookUp(world.readPool, name));
  if (state === null) return { kind: 'hidden' };
  if (!isAdmin(world, ctx)) {
    const permit = await world.permission.mayRead(state.id, whoAsks(world, ctx.headers));
    if (permit.kind === 'unavailable') return { kind: 'unavailable', reason: permit.reason };
    if (permit.kind === 'refused') return { kind: 'hidden' };
  }
  return describeTable(world, state);
}

async function describeTable(world: ServeWorld, state: TableState): Promise<SeenTable> {
  const [kept, record] = await Promise.all([freshOf(world, state), recordOf(world, state)]);
  // a rebuild leaves the token as it was, so that a kept manifest may be the one before
  const isOld = kept !== null && (record?.publishedAt ?? 0) > new Date(kept.published_at);
  if (isOld) world.manifests.forget(state.id);
  const fresh = isOld ? await freshOf(world, state) : kept;
  const manifest = fresh ?? (await world.manifests.published(state.id));
  const now = stateOf(fresh !== null, record);
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

function freshOf(world: ServeWorld, state: TableState): Promise<Manifest | null> {
  const profile = world.profile();
  return profile === null ? Promise.resolve(null) : world.manifests.fresh(state, profile);
}

/** The state database may be down: what is published is told without it. */
async function recordOf(world: ServeWorld, state: TableState): Promise<TableRecord | null> {
  return (await world.records?.get(asResourceId(state.id)).catch(() => null)) ?? null;
}

function stateOf(fresh: boolean, record: TableRecord | null): TableStatus['state'] {
  if (record?.life === 'building' && record.held) return 'building';
  if (fresh) return 'fresh';
  if (record === null || record.life === 'absent' || record.life === 'gone') return 'absent';
  return record.life === 'failing' ? 'failed' : 'pending';
}

function wholeNumber(text: string | string[] | undefined, missing: number, most: number): number {
  return typeof text === 'string' && /^\d{1,15}$/.test(text) ? Math.min(Number(text), most) : missing;
}
