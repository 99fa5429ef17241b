/** The list of tables in plain JavaScript: what Postgres must find, sort and cut alike, and what feeds the page's tests. */
import {
  pageSize,
  pagesOf,
  parsePageQuery,
  renderStatusPage,
  type TableSummary,
} from '../../src/serve/page/tables-page.ts';
import { displayStates, type PublicationSort } from '../../src/state/publication-list.ts';

type Order = (left: TableSummary, right: TableSummary) => number;
const byId: Order = (left, right) => (left.id < right.id ? -1 : 1);
const orders: Readonly<Record<PublicationSort, Order>> = {
  state: (left, right) =>
    displayStates.indexOf(left.state) - displayStates.indexOf(right.state) || byId(left, right),
  name: byId,
  size: (left, right) => (right.bytes ?? -1) - (left.bytes ?? -1) || byId(left, right),
  age: (left, right) =>
    (left.publishedAt?.getTime() ?? 0) - (right.publishedAt?.getTime() ?? 0) || byId(left, right),
};

export function inOrder(tables: readonly TableSummary[], sort: PublicationSort): TableSummary[] {
  return tables.toSorted(orders[sort]);
}

/** Those whose id, name or reason has all the words. */
export function matching(tables: readonly TableSummary[], search: string): TableSummary[] {
  const words = search.toLowerCase().split(/\s+/);
  return tables.filter(({ id, name, reason }) =>
    words.every((word) => `${id} ${name ?? ''} ${reason ?? ''}`.toLowerCase().includes(word)),
  );
}

/** The page at `/` for those who see all. */
export function countedPage(
  tables: readonly TableSummary[],
  address: URLSearchParams,
  now: Date,
  all: boolean,
): string {
  const query = parsePageQuery(address);
  const found = matching(tables, query.search);
  const byState = new Map(
    [...Map.groupBy(found, ({ state }) => state)].map(([state, alike]) => [state, alike.length]),
  );
  const page = Math.min(query.page, pagesOf(query, byState));
  const chosen = inOrder(found, query.sort).filter(
    ({ state }) => query.state === null || state === query.state,
  );
  return renderStatusPage({
    tables: chosen.slice((page - 1) * pageSize, page * pageSize),
    query: { ...query, page },
    counted: { total: tables.length, byState, all },
    next: null,
    now,
  });
}
