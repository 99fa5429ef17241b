/**
 * `/status`: what is published of which table, as JSON, and only what the caller may see (P9, nothing that CKAN would
 * refuse). A list goes on after the last table that was shown; numbers of tables are for those who see all.
 */
import { mapPostgresErrors } from '../postgres/pool.ts';
import { lookUpTable } from '../postgres/revision.ts';
import { isAdmin } from './caller.ts';
import type { ServeDeps } from './context.ts';
import { answerProblem } from './errors.ts';
import type { ServeContext } from './request-state.ts';
import { clientAbortSignal } from './response-writer.ts';
import { readTableStatus, type StatusDeps } from './table-status.ts';
import { isPosition, readVisiblePage, seesAllTables } from './visible-tables.ts';

const longestPage = 100;
const everything = { words: [], inReasons: false, state: null, withoutPrivate: false };

export async function answerStatusList(deps: StatusDeps, ctx: ServeContext): Promise<void> {
  const limit = Math.max(1, wholeNumber(ctx.query['limit'], longestPage, longestPage));
  const offset = wholeNumber(ctx.query['offset'], 0, Number.MAX_SAFE_INTEGER);
  const after = textOf(ctx.query['after']);
  if (offset > 0 && !seesAllTables(deps, ctx.headers))
    return answerProblem(ctx, 400, 'offset is for the admin; the next page is at the query that next says');
  if (after !== null && !(await isPosition(deps, 'name', after)))
    return answerProblem(ctx, 400, 'after is no place in this list; take the query that next says');
  const { tables, next } = await readVisiblePage(deps, {
    headers: ctx.headers,
    signal: clientAbortSignal(ctx.res),
    filter: everything,
    sort: 'name',
    after,
    offset,
    limit,
  });
  ctx.set('Cache-Control', 'private, no-store');
  ctx.body = {
    tables: tables.map(({ status }) => status),
    ...(next === null ? {} : { next: `?after=${next}&limit=${limit}` }),
    ...(isAdmin(deps.config, ctx.headers) ? { total: await totalOf(deps) } : {}),
  };
}

async function totalOf({ publications }: StatusDeps): Promise<number> {
  if (publications === null) return 0;
  const counts = await mapPostgresErrors('STATE_UNAVAILABLE', () => publications.countByState(everything));
  return [...counts.values()].reduce((sum, count) => sum + count, 0);
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

function textOf(given: string | string[] | undefined): string | null {
  return typeof given === 'string' ? given : null;
}

function wholeNumber(text: string | string[] | undefined, missing: number, most: number): number {
  return typeof text === 'string' && /^\d{1,15}$/.test(text) ? Math.min(Number(text), most) : missing;
}
