/** The status pages in a real Chromium: no script, no complaint of the content policy, light and dark, by keyboard. */
import { existsSync, mkdirSync, readFileSync } from 'node:fs';
import { createServer, type Server } from 'node:http';
import { once } from 'node:events';
import { createRequire } from 'node:module';
import type { AddressInfo } from 'node:net';
import path from 'node:path';
import { chromium, type Browser, type Page } from 'playwright-core';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { pageStyle } from '../../src/serve/page/style.ts';
import { renderTablePage } from '../../src/serve/page/table-page.ts';
import { parsePageQuery, renderStatusPage, type TableSummary } from '../../src/serve/page/tables-page.ts';

const program = ['/usr/bin/chromium', '/usr/bin/chromium-browser', '/usr/bin/google-chrome'].find((file) =>
  existsSync(file),
);
const screenshots = path.resolve(import.meta.dirname, '../../.cache/screenshots');
const now = new Date('2026-03-01T12:00:00Z');
const states = ['fresh', 'failed', 'building', 'pending', 'absent'] as const;

const tables: TableSummary[] = Array.from({ length: 10_000 }, (_, index) => ({
  id: `00000000-0000-4000-8000-${String(index).padStart(12, '0')}`,
  name: index % 3 === 0 ? null : `Register of trees, district ${index}`,
  state: states[index % 50] ?? 'fresh',
  reason: index % 50 === 1 ? 'the table is locked by another transaction' : null,
  rowsDone: index % 50 === 2 ? 500 : null,
  rows: 1000 + index,
  bytes: index * 83_000,
  formats: ['csv', 'csv+bom', 'json', 'xml'],
  publishedAt: new Date(now.getTime() - index * 60_000),
}));

const tablePage = renderTablePage({
  table: tables[1] ?? (tables[0] as TableSummary),
  revision: '8c1f5a0e2b7d4c39',
  tier: 'exact',
  downloads: [{ variant: 'csv', bytes: 1_000_000, sha256: 'ab12'.repeat(16) }],
  columns: [{ name: '_id', type: 'int', label: null, notes: null }],
  history: [{ at: now, text: 'Revision 8c1f5a0e2b7d4c39 was published' }],
  canRebuild: true,
  isQueued: false,
  now,
});

let server: Server;
let browser: Browser;
let base: string;

beforeAll(async () => {
  if (program === undefined) return;
  server = createServer((request, response) => {
    const url = new URL(request.url ?? '/', 'http://localhost');
    const style = url.pathname === '/page.css';
    response.setHeader('Content-Type', style ? 'text/css' : 'text/html');
    response.setHeader('Content-Security-Policy', "default-src 'none'; style-src 'self'; form-action 'self'");
    if (style) response.end(pageStyle);
    else if (url.pathname.startsWith('/tables/')) response.end(tablePage);
    else response.end(renderStatusPage({ tables, query: parsePageQuery(url.searchParams), now, all: true }));
  });
  server.listen(0, '127.0.0.1');
  await once(server, 'listening');
  base = `http://127.0.0.1:${(server.address() as AddressInfo).port}`;
  browser = await chromium.launch({ executablePath: program, args: ['--no-sandbox'] });
});

afterAll(async () => {
  if (program === undefined) return;
  await browser.close();
  server.close();
});

/** Runs in the page: the colours of all texts that are shown. */
const inksOfPage = `[...new Set([...document.querySelectorAll('h1, a, .state, .reason, td, time, code, label')]
  .filter((one) => one.getClientRects().length > 0).map((one) => getComputedStyle(one).color))]`;

/** Contrast of two CSS colours (WCAG 2.2, 1.4.3). */
function contrast(one: string, other: string): number {
  const luminance = (colour: string): number => {
    const [red = 0, green = 0, blue = 0] = (colour.match(/[\d.]+/g) ?? []).slice(0, 3).map((part) => {
      const share = Number(part) / 255;
      return share <= 0.03928 ? share / 12.92 : ((share + 0.055) / 1.055) ** 2.4;
    });
    return 0.2126 * red + 0.7152 * green + 0.0722 * blue;
  };
  const [dark = 0, light = 0] = [luminance(one), luminance(other)].toSorted((left, right) => left - right);
  return (light + 0.05) / (dark + 0.05);
}

/** axe-core's rules for what assistive technology meets, run in the page; what it finds, by rule and place. */
const axe = readFileSync(createRequire(import.meta.url).resolve('axe-core/axe.min.js'), 'utf8');
const violationsOfPage = `axe.run().then(({ violations }) =>
  violations.map(({ id, nodes }) => id + ': ' + nodes.map(({ html }) => html).join(' ')))`;

async function faultsOf(page: Page, target: string): Promise<string[]> {
  const faults: string[] = [];
  page.on('console', (message) => {
    if (message.type() === 'error' || message.type() === 'warning') faults.push(message.text());
  });
  page.on('requestfailed', (request) => faults.push(request.url()));
  await page.goto(`${base}${target}`);
  return faults;
}

describe.skipIf(program === undefined)('the pages in Chromium (skipped where there is none)', () => {
  it.each(['light', 'dark'] as const)(
    'look right in %s: the policy is kept, every text can be read',
    async (colorScheme) => {
      const context = await browser.newContext({
        colorScheme,
        viewport: { width: 1200, height: 900 },
        javaScriptEnabled: true,
      });
      const page = await context.newPage();
      mkdirSync(screenshots, { recursive: true });
      for (const [name, target] of [
        ['tables', '/'],
        ['table', '/tables/x'],
      ] as const) {
        expect(await faultsOf(page, target)).toEqual([]);
        await page.screenshot({ path: path.join(screenshots, `${name}-${colorScheme}.png`) });
        const ground = await page.evaluate<string>('getComputedStyle(document.body).backgroundColor');
        const inks = await page.evaluate<string[]>(inksOfPage);
        expect(inks.length).toBeGreaterThan(2);
        for (const ink of inks) expect(contrast(ink, ground), `${ink} on ${ground}`).toBeGreaterThan(4.5);
      }
      await context.close();
    },
  );

  it.each(['light', 'dark'] as const)(
    'break no rule of axe-core, wide and narrow, in %s',
    async (colorScheme) => {
      for (const width of [1200, 360]) {
        const context = await browser.newContext({ colorScheme, viewport: { width, height: 800 } });
        const page = await context.newPage();
        for (const target of ['/?q=district+420&sort=size', '/?q=nothing-like-it', '/tables/x']) {
          await page.goto(`${base}${target}`);
          await page.evaluate(axe);
          expect(await page.evaluate(violationsOfPage), target).toEqual([]);
        }
        await context.close();
      }
    },
  );

  it('search, filter and paging work by keyboard and without scripts', async () => {
    const context = await browser.newContext({ javaScriptEnabled: false });
    const page = await context.newPage();
    await page.goto(base);
    await page.keyboard.press('Tab');
    expect(await page.locator(':focus').textContent()).toBe('Skip to content');
    await page.getByRole('searchbox', { name: 'Search by name, id or reason' }).focus();
    await page.keyboard.type('district 4243');
    await page.keyboard.press('Enter');
    await page.waitForURL(/q=district/);
    expect(await page.getByRole('rowheader').count()).toBe(1);
    await page.getByRole('link', { name: 'Clear' }).click();
    await page.getByRole('navigation', { name: 'By state' }).getByRole('link', { name: 'failed' }).click();
    expect(await page.getByRole('rowheader').count()).toBe(50);
    await page.getByRole('navigation', { name: 'Pages' }).getByRole('link', { name: 'Next' }).click();
    await page.waitForURL(/state=failed.*page=2|page=2.*state=failed/);
    await page.getByRole('rowheader').first().getByRole('link').click();
    expect(await page.getByRole('heading', { level: 1 }).count()).toBe(1);
    expect(await page.getByLabel('Admin token').getAttribute('type')).toBe('password');
    await context.close();
  });

  it('fits a telephone: only the table scrolls sideways', async () => {
    const context = await browser.newContext({ viewport: { width: 360, height: 740 } });
    const page = await context.newPage();
    for (const target of ['/', '/tables/x']) {
      await page.goto(`${base}${target}`);
      expect(await page.evaluate('document.documentElement.scrollWidth')).toBeLessThanOrEqual(360);
    }
    await context.close();
  });
});
