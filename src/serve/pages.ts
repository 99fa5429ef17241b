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
import { anonymous, callerFrom, isAdmin, isAdminToken } from './caller.ts';
import type { ServeDeps } from './context.ts';
import { answerText } from './errors.ts';
import { pageStyle } from './page/style.ts';
import { renderTablePage, renderWrongToken, type TableColumn } from './page/table-page.ts';
import {
  chosenTables,
  pageSize,
  parsePageQuery,
  renderStatusPage,
  type TableSummary,
} from './page/tables-page.ts';
import { publicationState } from '../state/publication-state.ts';
import type { PublicationRecord } from '../state/publications.ts';
import type { ServeContext } from './request-state.ts';
import {
  readRecords,
  readTableStatus,
  readTableStatuses,
  type StatusDeps,
  type TableView,
} from './status.ts';

type PagesDeps = StatusDeps & Pick<ServeDeps, 'rebuild' | 'now'>;

export async function answerTablesPage(deps: PagesDeps, ctx: ServeContext): Promise<void> {
  const query = parsePageQuery(new URLSearchParams(ctx.querystring));
  const all = isAdmin(deps.config, ctx.headers);
  const records = await readRecords(deps);
  if (all || deps.config.DUMPER_AUTHORIZE === 'off') {
    const tables = records.map((record) => summaryOfRecord(record, true));
    return sendPage(ctx, renderStatusPage({ tables, query, all, now: deps.now() }));
  }
  // Each table costs CKAN a question, so only those of one page are asked about.
  const isAnonymous = callerFrom(deps.config, ctx.headers) === anonymous;
  const candidates = records.filter((record) => !isAnonymous || record.public !== false);
  const chosen = chosenTables(
    candidates.map((record) => summaryOfRecord(record, false)),
    query,
  );
  const first = (query.page - 1) * pageSize;
  const ids = chosen.slice(first, first + pageSize).map(({ id }) => id);
  const tables = (await readTableStatuses(deps, ctx.headers, ids)).map(summaryOf);
  const more = chosen.length > first + pageSize;
  sendPage(ctx, renderStatusPage({ tables, query, all, more, now: deps.now() }));
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
  if (!isAdminToken(deps.config, tokenOf(ctx.request.body))) {
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

function tokenOf(body: unknown): string | undefined {
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

function summaryOf({ status }: Extract<TableView, { kind: 'table' }>): TableSummary {
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

/** For a list of thousands: as publications and the last sweep left them, without a question to the DataStore for each. */
function summaryOfRecord(record: PublicationRecord, withReason: boolean): TableSummary {
  const published = record.variants?.split(',') ?? [];
  return {
    id: record.id,
    name: null,
    state: publicationState(record),
    reason: withReason && record.lastError !== null ? redact(record.lastError) : null,
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
