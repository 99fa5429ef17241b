/**
 * The pages for people at `/` and `/tables/<id>`: the same tables and the same rules as `/status`, rendered by `page/`.
 * No script, no inline style, and a policy (`protection.ts`) that allows none (promises P9, P17).
 */
import type { Context } from 'koa';
import { variants } from '../format.ts';
import type { Manifest } from '../manifest.ts';
import { redact } from '../log.ts';
import { anonymous } from './caller.ts';
import { pageStyle } from './page/style.ts';
import { renderTablePage, type TableColumn } from './page/table-page.ts';
import {
  chosenTables,
  pageSize,
  parsePageQuery,
  renderStatusPage,
  type TableSummary,
} from './page/tables-page.ts';
import { publicationState } from '../state/publication-state.ts';
import type { PublicationRecord } from '../state/publications.ts';
import { answerPlain } from './errors.ts';
import { knownRecords, readTableStatus, readTableStatuses, type TableView } from './status.ts';
import { isAdmin, callerFrom } from './who-asks.ts';
import type { ServeDeps } from './context.ts';

export async function answerTablesPage(deps: ServeDeps, ctx: Context): Promise<void> {
  const query = parsePageQuery(new URLSearchParams(ctx.querystring));
  const all = isAdmin(deps, ctx);
  const records = await knownRecords(deps);
  if (all || deps.config.DUMPER_AUTHORIZE === 'off') {
    const tables = records.map((record) => summaryOfRecord(record, true));
    return sendPage(ctx, renderStatusPage({ tables, query, all, now: deps.now() }));
  }
  // Each table costs CKAN a question, so only those of one page are asked about.
  const isAnonymous = callerFrom(deps, ctx.headers) === anonymous;
  const candidates = records.filter((record) => !isAnonymous || record.public !== false);
  const chosen = chosenTables(
    candidates.map((record) => summaryOfRecord(record, false)),
    query,
  );
  const first = (query.page - 1) * pageSize;
  const ids = chosen.slice(first, first + pageSize).map(({ id }) => id);
  const tables = (await readTableStatuses(deps, ctx, ids)).map(summaryOf);
  const more = chosen.length > first + pageSize;
  sendPage(ctx, renderStatusPage({ tables, query, all, more, now: deps.now() }));
}

export async function answerTablePage(deps: ServeDeps, ctx: Context, name: string): Promise<void> {
  const seen = await readTableStatus(deps, ctx, name);
  if (seen.kind === 'hidden') return answerPlain(ctx, deps.config, 404, 'No such table, or not yours to see');
  if (seen.kind === 'unavailable') {
    return answerPlain(ctx, deps.config, 503, 'CKAN or the DataStore cannot be asked at the moment');
  }
  const { status, manifest } = seen;
  const page = renderTablePage({
    table: summaryOf(seen),
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

export function answerStyle(ctx: Context): void {
  ctx.set('Cache-Control', 'public, max-age=3600');
  ctx.type = 'text/css; charset=utf-8';
  ctx.body = pageStyle;
}

export function sendPage(ctx: Context, page: string): void {
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

/** A list of thousands: as publications and the last sweep left them, without asking the DataStore for each. */
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
