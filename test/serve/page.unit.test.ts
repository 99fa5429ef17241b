/** The status pages: what they show, that nothing put in becomes markup, and that they hold without scripts. */
import { SaxesParser } from 'saxes';
import { describe, expect, it } from 'vitest';
import { pageStyle } from '../../src/serve/page/style.ts';
import { renderTablePage, type TablePage } from '../../src/serve/page/table-page.ts';
import { parsePageQuery, renderStatusPage, type TableSummary } from '../../src/serve/page/tables-page.ts';

const now = new Date('2026-03-01T12:00:00Z');

function table(index: number, change: Partial<TableSummary> = {}): TableSummary {
  return {
    id: `00000000-0000-4000-8000-${String(index).padStart(12, '0')}`,
    name: `Table ${index}`,
    state: 'fresh',
    reason: null,
    rowsDone: null,
    rows: index * 10,
    bytes: index * 1000,
    formats: ['csv', 'json'],
    publishedAt: new Date(now.getTime() - index * 60_000),
    ...change,
  };
}

const list = (tables: readonly TableSummary[], query = ''): string =>
  renderStatusPage({ tables, query: parsePageQuery(new URLSearchParams(query)), now, all: false });

const rowsOf = (page: string): string[] =>
  [...page.matchAll(/<th scope="row">\s*<a href="tables\/([^"]+)"/g)].map((match) => match[1] ?? '');

const full: TablePage = {
  table: table(7),
  revision: 'abc',
  tier: 'exact',
  downloads: [
    { variant: 'csv+bom', bytes: 2048, sha256: 'f'.repeat(64) },
    { variant: 'json', bytes: 10, sha256: '0'.repeat(64) },
  ],
  columns: [{ name: 'a"<b>', type: 'int4', label: 'A & B', notes: null }],
  history: [{ at: now, text: 'published 70 rows' }],
  canRebuild: true,
  isQueued: false,
  now,
};

/** The pages are written as well-formed XML, so a strict parser finds what is not closed or not escaped. */
function wellFormed(page: string): void {
  const parser = new SaxesParser();
  parser.on('error', (error) => {
    throw error;
  });
  parser.write(page.replace('<!doctype html>', '')).close();
}

describe('the status page', () => {
  it('lists failing tables first, with the reason, and counts each state', () => {
    const page = list([
      table(1),
      table(2, { state: 'failed', reason: 'the disk is full' }),
      table(3, { state: 'building', rowsDone: 5 }),
    ]);
    expect(rowsOf(page)).toEqual([2, 3, 1].map((index) => table(index).id));
    expect(page).toContain('the disk is full');
    expect(page).toContain('<progress max="30" value="5" aria-label="5 of about 30 rows">');
    wellFormed(page);
  });

  it('searches, filters, sorts and pages over 10,000 tables, keeping the question in every link', () => {
    const tables = Array.from({ length: 10_000 }, (_, index) =>
      table(index, index % 100 === 0 ? { state: 'failed' } : {}),
    );
    expect(rowsOf(list(tables))).toHaveLength(50);
    expect(rowsOf(list(tables, 'page=200'))).toHaveLength(50);
    expect(rowsOf(list(tables, 'page=9999&sort=name'))).toEqual(rowsOf(list(tables, 'page=200&sort=name')));
    expect(rowsOf(list(tables, 'q=TABLE+4242'))).toEqual([table(4242).id]);
    expect(rowsOf(list(tables, 'sort=size'))[0]).toBe(table(9999).id);
    const second = list(tables, 'q=table&state=failed&sort=age&page=2');
    expect(second).toContain('href="?q=table&amp;state=failed&amp;sort=age"');
    expect(second).toMatch(/aria-current="page"\s*><span class="away">Page <\/span>2<\/a/);
    wellFormed(second);
  });

  it.each(['page=-1', 'page=1e99', 'page=x', 'state=king', 'sort=;drop', `q=${'x'.repeat(5000)}`, 'q=%00'])(
    '%s is no fault',
    (query) => {
      expect(list([table(1)], query)).toContain('</html>');
    },
  );

  it('P17: names, reasons, columns and searches never become markup', () => {
    const nasty = `</title><script>alert(1)</script>"'&`;
    const pages = [
      list(
        [table(1, { name: nasty, reason: nasty, state: 'failed', id: nasty, formats: [nasty] })],
        `q=${encodeURIComponent('<script>')}`,
      ),
      renderTablePage({
        ...full,
        table: table(1, { name: nasty, id: nasty, reason: nasty }),
        revision: nasty,
        columns: [{ name: nasty, type: nasty, label: nasty, notes: nasty }],
        history: [{ at: now, text: nasty }],
      }),
    ];
    for (const page of pages) {
      expect(page).not.toMatch(/<script|javascript:|\son\w+=|style=/i);
      wellFormed(page);
    }
  });

  it('the page of a table gives downloads with checksums, columns, history and the form for a new publication', () => {
    const page = renderTablePage(full);
    expect(page).toContain(`../datastore/dump/${full.table.id}?format=csv&amp;bom=true`);
    expect(page).toContain('f'.repeat(64));
    expect(page).toContain('<code>a&quot;&lt;b&gt;</code>');
    expect(page).toContain(`action="${full.table.id}/rebuild"`);
    expect(renderTablePage({ ...full, canRebuild: false })).not.toContain('<form');
    expect(renderTablePage({ ...full, downloads: [] })).toContain('download it live');
    wellFormed(page);
  });

  it('asks for nothing from elsewhere and has no script, so the strictest content policy holds', () => {
    for (const page of [list([table(1)]), renderTablePage(full)])
      expect(page).not.toMatch(/https?:|<script|style="/);
    expect(pageStyle).not.toMatch(/url\(|@import/);
  });
});
