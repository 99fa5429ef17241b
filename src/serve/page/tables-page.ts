/**
 * The page at `/`: which tables are fresh, pending, being built or failing. Search, filter and paging are links and
 * one form, so that it works without scripts; the caller of `renderStatusPage` gives only what the reader may see
 * (P9, nothing that CKAN would refuse).
 */
import type { DisplayState } from '../../state/publication-state.ts';
import { ageOf, renderDocument, html, numberText, sizeText, stateBadge, type Html } from './frame.ts';

/** One table's line. */
export interface TableSummary {
  readonly id: string;
  /** The resource's name, where known. */
  readonly name: string | null;
  readonly state: DisplayState;
  /** Why it failed, in one line. */
  readonly reason: string | null;
  /** Rows done of a build under way. */
  readonly rowsDone: number | null;
  readonly rows: number | null;
  /** All blobs together. */
  readonly bytes: number | null;
  readonly formats: readonly string[];
  readonly publishedAt: Date | null;
}

interface StatusPage {
  /** Every table the reader may see, in any order. */
  readonly tables: readonly TableSummary[];
  readonly query: PageQuery;
  readonly now: Date;
  /** Whether private tables are among them (the admin's view). */
  readonly all: boolean;
  /**
   * Set where `tables` is one page already, chosen and in order: whether there is another. Nothing is counted then,
   * since a count would tell of tables that the reader may not see.
   */
  readonly more?: boolean;
}

/** What the reader asked of the list. */
interface PageQuery {
  readonly search: string;
  readonly state: DisplayState | null;
  readonly sort: 'state' | 'name' | 'size' | 'age';
  /** From 1. */
  readonly page: number;
  /** Reload by itself every ten seconds. */
  readonly watch: boolean;
}

export const pageSize = 50;
const states: readonly DisplayState[] = ['failed', 'building', 'pending', 'absent', 'fresh'];
const sorts = ['state', 'name', 'size', 'age'] as const;

/** Read the query string; anything unknown is its default. */
export function parsePageQuery(query: URLSearchParams): PageQuery {
  const page = Number(query.get('page') ?? '1');
  return {
    search: (query.get('q') ?? '').slice(0, 200).trim(),
    state: states.find((state) => state === query.get('state')) ?? null,
    sort: sorts.find((sort) => sort === query.get('sort')) ?? 'state',
    page: Number.isSafeInteger(page) && page > 0 ? page : 1,
    watch: query.get('watch') === '1',
  };
}

export function renderStatusPage(page: StatusPage): string {
  const { tables, query, now, more } = page;
  if (more === undefined) return renderCounted(page);
  const body = html`<h1>Tables</h1>
    <p class="lead">Tables that you may see. ${reloadLink(query)}</p>
    ${stateLinks(null, query)} ${searchForm(query)}
    ${
      tables.length === 0
        ? html`<p class="empty">No table that you may see${more ? ' on this page' : ''}.</p>`
        : tableOf(tables, query, now)
    }
    ${query.page === 1 && !more ? null : pageLinks(query, query.page, more ? query.page + 1 : query.page)}`;
  return renderDocument({ title: 'DataStore dumps', root: '', reloadSeconds: query.watch ? 10 : null, body });
}

const reloadLink = (query: PageQuery): Html =>
  html`<a href="${linkTo(query, { watch: !query.watch })}"
    >${query.watch ? 'Stop reloading' : 'Reload every ten seconds'}</a
  >`;

/** The tables that a query means, in its order, all pages together. */
export function chosenTables(tables: readonly TableSummary[], query: PageQuery): TableSummary[] {
  return tables
    .filter((table) => matches(table, query.search))
    .filter((table) => query.state === null || table.state === query.state)
    .toSorted(orders[query.sort]);
}

function renderCounted({ tables, query, now, all }: StatusPage): string {
  const matching = tables.filter((table) => matches(table, query.search));
  const chosen = chosenTables(tables, query);
  const pages = Math.max(1, Math.ceil(chosen.length / pageSize));
  const page = Math.min(query.page, pages);
  const shown = chosen.slice((page - 1) * pageSize, page * pageSize);
  const body = html`<h1>Tables</h1>
    <p class="lead">
      ${numberText(tables.length)}
      ${tables.length === 1 ? 'table' : 'tables'}${all ? '' : ' that you may see'}. ${reloadLink(query)}
    </p>
    ${stateLinks(matching, query)} ${searchForm(query)}
    ${shown.length === 0 ? html`<p class="empty">No table matches.</p>` : tableOf(shown, query, now)}
    ${pages === 1 ? null : pageLinks(query, page, pages)}`;
  return renderDocument({ title: 'DataStore dumps', root: '', reloadSeconds: query.watch ? 10 : null, body });
}

function matches(table: TableSummary, search: string): boolean {
  const words = search.toLowerCase().split(/\s+/);
  const text = `${table.id} ${table.name ?? ''} ${table.reason ?? ''}`.toLowerCase();
  return words.every((word) => text.includes(word));
}

type Order = (left: TableSummary, right: TableSummary) => number;
const byName: Order = (left, right) => (left.name ?? left.id).localeCompare(right.name ?? right.id, 'en');
const orders: Readonly<Record<PageQuery['sort'], Order>> = {
  state: (left, right) => states.indexOf(left.state) - states.indexOf(right.state) || byName(left, right),
  name: byName,
  size: (left, right) => (right.bytes ?? -1) - (left.bytes ?? -1) || byName(left, right),
  age: (left, right) =>
    (left.publishedAt?.getTime() ?? 0) - (right.publishedAt?.getTime() ?? 0) || byName(left, right),
};

/** A link to the same list with something changed; what changes the list begins at its first page. */
function linkTo(query: PageQuery, change: Partial<PageQuery>): string {
  const wanted = { ...query, page: 1, ...change };
  const parameters = new URLSearchParams();
  if (wanted.search !== '') parameters.set('q', wanted.search);
  if (wanted.state !== null) parameters.set('state', wanted.state);
  if (wanted.sort !== 'state') parameters.set('sort', wanted.sort);
  if (wanted.page !== 1) parameters.set('page', String(wanted.page));
  if (wanted.watch) parameters.set('watch', '1');
  return parameters.size === 0 ? './' : `?${parameters.toString()}`;
}

/** `tables`: null where they may not be counted. */
function stateLinks(tables: readonly TableSummary[] | null, query: PageQuery): Html {
  const counts = new Map<DisplayState, number>();
  for (const { state } of tables ?? []) counts.set(state, (counts.get(state) ?? 0) + 1);
  const link = (state: DisplayState | null, words: Html, count: number | undefined): Html =>
    html`<li>
      <a href="${linkTo(query, { state })}" ${query.state === state ? html` aria-current="true"` : null}
        >${words}${tables === null ? null : html` <b>${numberText(count ?? 0)}</b>`}</a
      >
    </li> `;
  return html`<nav aria-label="By state">
    <ul class="states">
      ${link(null, html`all`, tables?.length)}${states
        .filter((state) => tables === null || counts.has(state) || query.state === state)
        .map((state) => link(state, stateBadge(state), counts.get(state)))}
    </ul>
  </nav>`;
}

function searchForm(query: PageQuery): Html {
  const kept = [
    query.state === null ? null : html`<input type="hidden" name="state" value="${query.state}" />`,
    query.sort === 'state' ? null : html`<input type="hidden" name="sort" value="${query.sort}" />`,
  ].filter((field) => field !== null);
  return html`<form role="search" action="./" method="get">
    <label for="q">Search by name, id or reason</label>
    <input id="q" name="q" type="search" value="${query.search}" autocomplete="off" />${kept}
    <button>Search</button
    >${query.search === '' ? null : html` <a href="${linkTo(query, { search: '' })}">Clear</a>`}
  </form>`;
}

function tableOf(tables: readonly TableSummary[], query: PageQuery, now: Date): Html {
  const heading = (sort: PageQuery['sort'], word: string, kind = ''): Html =>
    html`<th
      scope="col"
      class="${kind}"
      ${query.sort === sort ? html` aria-sort="${sort === 'size' ? 'descending' : 'ascending'}"` : null}
    >
      <a href="${linkTo(query, { sort })}">${word}</a>
    </th>`;
  return html`<div class="scroll" role="region" aria-label="Tables" tabindex="0">
    <table>
      <caption class="away">
        Tables and the state of their dumps
      </caption>
      <thead>
        <tr>
          ${heading('name', 'Table')}${heading('state', 'State')}
          <th scope="col" class="number">Rows</th>
          ${heading('size', 'Size', 'number')}
          <th scope="col">Formats</th>
          ${heading('age', 'Published')}
        </tr>
      </thead>
      <tbody>
        ${tables.map((table) => lineOf(table, now))}
      </tbody>
    </table>
  </div>`;
}

function lineOf(table: TableSummary, now: Date): Html {
  return html`<tr>
    <th scope="row">
      <a href="tables/${encodeURIComponent(table.id)}">${table.name ?? table.id}</a
      >${table.name === null ? null : html`<br /><code>${table.id}</code>`}
    </th>
    <td>${stateBadge(table.state)}${noteOf(table)}</td>
    <td class="number">${numberText(table.rows)}</td>
    <td class="number">${sizeText(table.bytes)}</td>
    <td class="formats">${table.formats.join(', ')}</td>
    <td>${ageOf(table.publishedAt, now)}</td>
  </tr> `;
}

function noteOf({ state, reason, rowsDone, rows }: TableSummary): Html | null {
  if (state === 'failed' && reason !== null) return html`<p class="reason">${reason}</p>`;
  if (state !== 'building' || rowsDone === null) return null;
  if (rows === null || rows === 0) return html`<p class="reason">${numberText(rowsDone)} rows</p>`;
  const label = `${numberText(rowsDone)} of about ${numberText(rows)} rows`;
  return html`<p class="reason">
    <progress max="${rows}" value="${Math.min(rows, rowsDone)}" aria-label="${label}"></progress> ${label}
  </p>`;
}

function pageLinks(query: PageQuery, page: number, pages: number): Html {
  const near = [1, page - 2, page - 1, page, page + 1, page + 2, pages];
  const numbers = [...new Set(near)].filter((number) => number >= 1 && number <= pages);
  const step = (to: number, words: string, rel: string): Html | null =>
    to < 1 || to > pages
      ? null
      : html`<li><a rel="${rel}" href="${linkTo(query, { page: to })}">${words}</a></li>`;
  return html`<nav aria-label="Pages">
    <ul class="pages">
      ${step(page - 1, 'Previous', 'prev')}${numbers.map(
        (number) =>
          html`<li>
            <a
              href="${linkTo(query, { page: number })}"
              ${number === page ? html` aria-current="page"` : null}
              ><span class="away">Page </span>${number}</a
            >
          </li>`,
      )}${step(page + 1, 'Next', 'next')}
    </ul>
  </nav>`;
}
