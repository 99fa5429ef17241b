/**
 * The pages for people at `/` and `/tables/<id>`, rendered by `page/`: the same tables and the same rules as `/status`
 * (P9, nothing that CKAN would refuse). No script, no inline style, and a policy (`security-headers.ts`) that allows none
 * (P17, no injection).
 */
import { bodyParser } from '@koa/bodyparser';
import { variants } from '../format.ts';
import { redact } from '../log.ts';
import type { Manifest } from '../manifest.ts';
import { mapPostgresErrors } from '../postgres/pool.ts';
import { lookUpTable } from '../postgres/revision.ts';
import { isAdmin, isAdminToken } from './caller.ts';
import type { ServeDeps } from './context.ts';
import { answerText } from './errors.ts';
import { pageStyle } from './page/style.ts';
import { renderTablePage, renderWrongToken, type TableColumn } from './page/table-page.ts';
import {
  pageSize,
  pagesOf,
  parsePageQuery,
  renderStatusPage,
  type PageQuery,
  type TableSummary,
} from './page/tables-page.ts';
import type { PublicationFilter } from '../state/publication-list.ts';
import { publicationState } from '../state/publication-state.ts';
import type { PublicationRecord } from '../state/publications.ts';
import type { ServeContext } from './request-state.ts';
import { clientAbortSignal } from './response-writer.ts';
import { readTableStatus, type StatusDeps, type VisibleTable } from './table-status.ts';
import { readVisiblePage, seesAllTables } from './visible-tables.ts';

type PagesDeps = StatusDeps & Pick<ServeDeps, 'rebuild' | 'now'>;

export async function answerTablesPage(deps: PagesDeps, ctx: ServeContext): Promise<void> {
  const query = parsePageQuery(new URLSearchParams(ctx.querystring));
  const isTold = isAdmin(deps.config, ctx.headers);
  const filter: PublicationFilter = {
    words: query.search.toLowerCase().split(/\s+/),
    inReasons: isTold,
    state: query.state,
    withoutPrivate: false,
  };
  if (seesAllTables(deps, ctx.headers))
    return sendPage(ctx, await renderCounted(deps, query, filter, isTold));
  const { sort, after } = query;
  const signal = clientAbortSignal(ctx.res);
  const page = { headers: ctx.headers, signal, filter, sort, after, limit: pageSize };
  const { tables, next } = await readVisiblePage(deps, page);
  const shown = { tables: tables.map(summaryOf), query, next, counted: null, now: deps.now() };
  sendPage(ctx, renderStatusPage(shown));
}

/** For those who see all tables: as publications and the last sweep left them, with numbers. */
async function renderCounted(
  { publications, now }: PagesDeps,
  query: PageQuery,
  filter: PublicationFilter,
  all: boolean,
): Promise<string> {
  const none: PublicationFilter = { ...filter, words: [], state: null };
  const [byState, everyState] = await mapPostgresErrors('STATE_UNAVAILABLE', () =>
    Promise.all([publications?.countByState(filter), publications?.countByState(none)]),
  );
  const counted = { all, byState: byState ?? new Map(), total: sumOf(everyState ?? new Map()) };
  const page = Math.min(query.page, pagesOf(query, counted.byState));
  const options = { sort: query.sort, after: null, offset: (page - 1) * pageSize, limit: pageSize };
  const listed = await mapPostgresErrors('STATE_UNAVAILABLE', async () =>
    publications?.list(filter, options),
  );
  const tables = (listed ?? []).map(({ record }) => summaryOfRecord(record));
  return renderStatusPage({ tables, query: { ...query, page }, next: null, counted, now: now() });
}

function sumOf(counts: ReadonlyMap<unknown, number>): number {
  return [...counts.values()].reduce((sum, count) => sum + count, 0);
}

export async function answerTablePage(deps: PagesDeps, ctx: ServeContext, name: string): Promise<void> {
  const view = await readTableStatus(deps, ctx.headers, name);
  if (view.kind === 'hidden') return answerText(ctx, deps.config, 404, 'No such table, or not yours to see');
  if (view.kind === 'unavailable') {
    return answerText(ctx, deps.config, 503, 'CKAN or the DataStore cannot be asked at the moment');
  }
  const { status, manifest } = view;
  const page = renderTablePage({
    table: summaryOf(view),
    revision: status.revision,
    tier: status.tier,
    downloads: variants.flatMap((variant) => {
      const blob = status.blobs[variant];
      return blob === undefined ? [] : [{ variant, ...blob }];
    }),
    columns: (manifest?.columns ?? [])
      .filter(({ name }) => name === '_id' || !name.startsWith('_'))
      .map(columnOf),
    history: historyOf(manifest),
    canRebuild: deps.rebuild !== null && deps.config.DUMPER_ADMIN_TOKEN !== undefined,
    isQueued: ctx.query['queued'] === '1',
    now: deps.now(),
  });
  sendPage(ctx, page);
}

/** Reads a small form; anything else is no body. */
export const readForm = bodyParser({ enableTypes: ['form'], formLimit: '4kb', onError: () => undefined });

/**
 * The form of a table's page that queues a publication; then back to that page (303, so that a reload asks for nothing).
 * The admin token is a field of the form, never a cookie, so no other site can make a reader's browser send it; it is
 * kept nowhere.
 */
export async function answerRebuildForm(deps: PagesDeps, ctx: ServeContext, name: string): Promise<void> {
  ctx.set('Cache-Control', 'private, no-store');
  if (!isAdminToken(deps.config, formToken(ctx))) {
    ctx.status = 403;
    return sendPage(ctx, renderWrongToken(name));
  }
  if (deps.rebuild === null) return answerText(ctx, deps.config, 503, 'Nothing is published here');
  const state = await mapPostgresErrors('POSTGRES_UNAVAILABLE', () => lookUpTable(deps.readPool, name));
  if (state === null) return answerText(ctx, deps.config, 404, 'No such table');
  await deps.rebuild(state.id);
  ctx.status = 303;
  ctx.set('Location', `../${encodeURIComponent(state.id)}?queued=1`);
  ctx.body = '';
}

/** The admin token in the form. */
export function formToken({ request }: ServeContext): string | undefined {
  const body: unknown = request.body;
  if (typeof body !== 'object' || body === null || !('token' in body)) return undefined;
  return typeof body.token === 'string' ? body.token : undefined;
}

export function answerStyle(ctx: ServeContext): void {
  ctx.set('Cache-Control', 'public, max-age=3600');
  ctx.type = 'text/css; charset=utf-8';
  ctx.body = pageStyle;
}

function sendPage(ctx: ServeContext, page: string): void {
  ctx.set('Cache-Control', 'private, no-store');
  ctx.type = 'text/html; charset=utf-8';
  ctx.body = page;
}

function summaryOf({ status }: VisibleTable): TableSummary {
  const blobs = Object.values(status.blobs);
  return {
    id: status.id,
    name: null,
    state: status.state,
    reason: status.reason ?? null,
    rowsDone: status.rows_done ?? null,
    rows: status.rows,
    bytes: blobs.length === 0 ? null : blobs.reduce((sum, { bytes }) => sum + bytes, 0),
    formats: variants.filter((variant) => variant in status.blobs),
    publishedAt: status.published_at === null ? null : new Date(status.published_at),
  };
}

/** Without a question to the DataStore. */
function summaryOfRecord(record: PublicationRecord): TableSummary {
  const published = record.variants?.split(',') ?? [];
  return {
    id: record.id,
    name: null,
    state: publicationState(record),
    reason: record.lastError !== null ? redact(record.lastError) : null,
    rowsDone: record.leased ? record.rowsDone : null,
    rows: record.rows,
    bytes: record.blobBytes,
    formats: variants.filter((variant) => published.includes(variant)),
    publishedAt: record.publishedAt,
  };
}

function columnOf({ name, type, info }: Manifest['columns'][number]): TableColumn {
  const text = (key: string): string | null => {
    const value = info?.[key];
    return typeof value === 'string' && value !== '' ? value : null;
  };
  return { name, type, label: text('label'), notes: text('notes') };
}

function historyOf(manifest: Manifest | null): { at: Date; text: string }[] {
  if (manifest === null) return [];
  const earlier = manifest.superseded.map(({ revision, at }) => ({
    at: new Date(at),
    text: `Revision ${revision} was superseded`,
  }));
  const published = {
    at: new Date(manifest.published_at),
    text: `Revision ${manifest.revision} was published`,
  };
  return [published, ...earlier.toReversed()];
}
