/**
 * The page at `/`: which tables are fresh, pending, being built or failing. Search, filter and paging are links and
 * one form, so that it works without scripts; the caller of `renderStatusPage` gives only what the reader may see
 * (P9, nothing that CKAN would refuse).
 */
import { displayStates, publicationSorts, type PublicationSort } from '../../state/publication-list.ts';
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
  /** Of this page, in order: only such as the reader may see. */
  readonly tables: readonly TableSummary[];
  readonly query: PageQuery;
  readonly now: Date;
  /** Null where the reader does not see all tables: a number would tell of those that are hidden. */
  readonly counted: TableCounts | null;
  /** Where an uncounted list goes on; null on its last page. */
  readonly next: string | null;
}

interface TableCounts {
  /** Of all tables, whatever is searched. */
  readonly total: number;
  /** Of those that the search finds. */
  readonly byState: ReadonlyMap<DisplayState, number>;
  /** Whether private tables are among them (the admin's view). */
  readonly all: boolean;
}

/** What the reader asked of the list. */
export interface PageQuery {
  readonly search: string;
  readonly state: DisplayState | null;
  readonly sort: PublicationSort;
  /** From 1, where the list is counted. */
  readonly page: number;
  /** Where the list goes on, where it is not counted. */
  readonly after: string | null;
  /** Reload by itself every ten seconds. */
  readonly watch: boolean;
}

export const pageSize = 50;

/** Read the query string; anything unknown is its default. */
export function parsePageQuery(query: URLSearchParams): PageQuery {
  const page = Number(query.get('page') ?? '1');
  return {
    search: (query.get('q') ?? '').replaceAll('\0', ' ').slice(0, 200).trim(),
    state: displayStates.find((state) => state === query.get('state')) ?? null,
    sort: publicationSorts.find((sort) => sort === query.get('sort')) ?? 'state',
    page: Number.isSafeInteger(page) && page > 0 ? page : 1,
    after: query.get('after'),
    watch: query.get('watch') === '1',
  };
}

export function renderStatusPage(page: StatusPage): string {
  const { tables, query, now, counted, next } = page;
  const words = html`<h1>Tables</h1>
    <p class="lead">
      ${counted === null ? 'Tables that you may see' : totalText(counted)}. ${reloadLink(query)}
    </p>
    ${stateLinks(counted?.byState ?? null, query)} ${searchForm(query)}`;
  const empty = counted === null ? 'No table that you may see' : 'No table matches';
  const body = html`${words}
  ${
    tables.length === 0
      ? html`<p class="empty">${empty}${next === null ? '' : ' on this page'}.</p>`
      : tableOf(tables, query, now)
  }
  ${counted === null ? stepLinks(query, next) : pageLinks(query, pagesOf(query, counted.byState))}`;
  return renderDocument({ title: 'DataStore dumps', root: '', reloadSeconds: query.watch ? 10 : null, body });
}

function totalText({ total, all }: TableCounts): string {
  return `${numberText(total)} ${total === 1 ? 'table' : 'tables'}${all ? '' : ' that you may see'}`;
}

/** How many pages a counted list has, at least one. */
export function pagesOf({ state }: PageQuery, byState: ReadonlyMap<DisplayState, number>): number {
  const found = state === null ? [...byState.values()] : [byState.get(state) ?? 0];
  return Math.max(1, Math.ceil(found.reduce((sum, count) => sum + count, 0) / pageSize));
}

const reloadLink = (query: PageQuery): Html =>
  html`<a href="${linkTo(query, { watch: !query.watch })}"
    >${query.watch ? 'Stop reloading' : 'Reload every ten seconds'}</a
  >`;

/** A link to the same list with something changed; what changes the list begins at its first page. */
function linkTo(query: PageQuery, change: Partial<PageQuery>): string {
  const wanted = { ...query, page: 1, after: null, ...change };
  const parameters = new URLSearchParams();
  if (wanted.search !== '') parameters.set('q', wanted.search);
  if (wanted.state !== null) parameters.set('state', wanted.state);
  if (wanted.sort !== 'state') parameters.set('sort', wanted.sort);
  if (wanted.page !== 1) parameters.set('page', String(wanted.page));
  if (wanted.after !== null) parameters.set('after', wanted.after);
  if (wanted.watch) parameters.set('watch', '1');
  return parameters.size === 0 ? './' : `?${parameters.toString()}`;
}

/** `counts`: null where tables may not be counted. */
function stateLinks(counts: ReadonlyMap<DisplayState, number> | null, query: PageQuery): Html {
  const all = [...(counts?.values() ?? [])].reduce((sum, count) => sum + count, 0);
  const link = (state: DisplayState | null, words: Html, count: number | undefined): Html =>
    html`<li>
      <a href="${linkTo(query, { state })}" ${query.state === state ? html` aria-current="true"` : null}
        >${words}${counts === null ? null : html` <b>${numberText(count ?? 0)}</b>`}</a
      >
    </li> `;
  return html`<nav aria-label="By state">
    <ul class="states">
      ${link(null, html`all`, all)}${displayStates
        .filter((state) => counts === null || counts.has(state) || query.state === state)
        .map((state) => link(state, stateBadge(state), counts?.get(state)))}
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

/** A list that is not counted goes forward alone: what came before it is in the reader's history. */
function stepLinks(query: PageQuery, next: string | null): Html | null {
  if (query.after === null && next === null) return null;
  return html`<nav aria-label="Pages">
    <ul class="pages">
      ${query.after === null ? null : html`<li><a rel="first" href="${linkTo(query, {})}">First page</a></li>`}
      ${next === null ? null : html`<li><a rel="next" href="${linkTo(query, { after: next })}">Next</a></li>`}
    </ul>
  </nav>`;
}

function pageLinks(query: PageQuery, pages: number): Html | null {
  if (pages === 1) return null;
  const { page } = query;
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
