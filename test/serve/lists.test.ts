/** The lists at `/` and `/status`: a page costs what it shows (P12), and tells nothing of hidden tables (P9). */
import { monitorEventLoopDelay } from 'node:perf_hooks';
import { afterAll, beforeAll, beforeEach, describe, expect, it } from 'vitest';
import type { TableSummary } from '../../src/serve/page/tables-page.ts';
import { displayStates, publicationSorts, type ListPosition } from '../../src/state/publication-list.ts';
import { publicationState } from '../../src/state/publication-state.ts';
import { inOrder, matching } from './listed.ts';
import { ask, startServing, type Serving } from './serving.ts';

const admin = { headers: { authorization: 'Bearer the-admin-token-of-tests' } };
const everything = { words: [], inReasons: true, state: null, withoutPrivate: false };
let serving: Serving;
/** How many rows each question for a list brought. */
const rows: number[] = [];

beforeAll(async () => {
  serving = await startServing({
    environment: { DUMPER_ADMIN_TOKEN: 'the-admin-token-of-tests', DUMPER_DECISION_CACHE_SECONDS: '3600' },
    parts: {
      now: () => new Date('2026-03-01T12:00:00Z'),
      publications: {
        get: (id) => serving.state.publications.get(id),
        countByState: (filter) => serving.state.publications.countByState(filter),
        positionKey: () => serving.state.publications.positionKey(),
        list: async (filter, options) => {
          const found = await serving.state.publications.list(filter, options);
          rows.push(found.length);
          return found;
        },
      },
    },
  });
});
afterAll(() => serving.close());
beforeEach(async () => {
  rows.length = 0;
  await serving.state.pool.query('TRUNCATE dumper.publication');
});

const lives = `(ARRAY['absent', 'pending', 'building', 'published', 'failing', 'gone'])`;

/** Records of all states, some with a living worker, sizes and times with gaps and equals. */
async function fill(count: number): Promise<void> {
  await serving.state.pool.query(
    `INSERT INTO dumper.publication (id, life, holder, beat_at, blob_bytes, published_at, last_error)
     SELECT 'table-' || lpad((i * 7919 % $1)::text, 6, '0'), ${lives}[1 + i % 6],
       CASE WHEN i % 4 = 0 THEN gen_random_uuid() END, clock_timestamp() + interval '1 hour' * (i % 3 - 1),
       CASE WHEN i % 5 > 0 THEN i % 17 END,
       CASE WHEN i % 7 > 0 THEN timestamptz '2026-01-01' + interval '1.234567 s' * (i % 50) END,
       CASE WHEN i % 6 = 4 THEN 'The disk is full' END
     FROM generate_series(1, $1) AS i`,
    [count],
  );
}

describe('Postgres finds, sorts and cuts', () => {
  it('as plain JavaScript does, in each order, for each state and search, page by page', async () => {
    await fill(301);
    const tables: TableSummary[] = [...(await serving.state.publications.all()).values()]
      .filter(({ state }) => state !== 'gone')
      .map((record) => ({
        id: record.id,
        name: null,
        state: publicationState(record),
        reason: record.lastError,
        rowsDone: null,
        rows: null,
        bytes: record.blobBytes,
        formats: [],
        publishedAt: record.publishedAt,
      }));
    for (const sort of publicationSorts) {
      for (const state of [null, ...displayStates]) {
        for (const search of ['', '13', 'DISK 2', 'nothing-like-it']) {
          const words = search.toLowerCase().split(/\s+/);
          const found: string[] = [];
          let after: ListPosition | null = null;
          for (;;) {
            const page = await serving.state.publications.list(
              { ...everything, words, state },
              { sort, after, offset: 0, limit: 64 },
            );
            found.push(...page.map(({ record }) => record.id));
            if (page.length < 64) break;
            after = page.at(-1)?.position ?? null;
          }
          const expected = inOrder(matching(tables, search), sort)
            .filter((table) => state === null || table.state === state)
            .map(({ id }) => id);
          expect(found, `${sort} ${String(state)} ${search}`).toEqual(expected);
        }
      }
    }
    const counts = await serving.state.publications.countByState(everything);
    expect(Object.fromEntries(counts)).toEqual(
      Object.fromEntries(
        [...Map.groupBy(tables, ({ state }) => state)].map(([state, { length }]) => [state, length]),
      ),
    );
  });

  it('P12 100,000 tables: no answer reads more of them than a page looks at', async () => {
    await fill(100_000);
    const delays = monitorEventLoopDelay({ resolution: 5 });
    delays.enable();
    for (const path of [
      '/',
      '/?sort=size&page=900',
      '/?q=table-0&state=failed',
      '/status',
      '/status?offset=99',
    ]) {
      expect([path, (await ask(`${serving.url}${path}`, admin)).status]).toEqual([path, 200]);
      expect([path, (await ask(`${serving.url}${path.replace('?offset=99', '')}`)).status]).toEqual([
        path,
        200,
      ]);
    }
    delays.disable();
    console.log(`100,000 tables: the loop stood ${Math.round(delays.max / 1e6)} ms at most`);
    expect(rows.length).toBe(10);
    expect(Math.max(...rows)).toBeLessThanOrEqual(300);
    const page = (await ask(`${serving.url}/`, admin)).text;
    expect([...page.matchAll(/<th scope="row">/g)]).toHaveLength(50);
  });
});

/** All that an anonymous caller can read in lists, by following what each answer says. */
async function everyPage(): Promise<string[]> {
  const texts: string[] = [];
  const begin = ['/status?limit=7', '/status', ...publicationSorts.map((sort) => `/?sort=${sort}`), '/?q=2'];
  for (const first of begin) {
    for (let path: string | null = first; path !== null;) {
      const { status, text } = await ask(`${serving.url}${path}`);
      expect([path, status]).toEqual([path, 200]);
      texts.push(text);
      const next: string | undefined = first.startsWith('/status')
        ? (JSON.parse(text) as { next?: string }).next
        : /rel="next" href="([^"]+)"/.exec(text)?.[1]?.replaceAll('&amp;', '&');
      path = next === undefined ? null : `${first.split('?')[0]}${next}`;
    }
  }
  return texts;
}

describe('P9 an anonymous caller', () => {
  const visible = Array.from({ length: 56 }, (_, index) => `seen-${String(index * 3).padStart(3, '0')}`);
  const hidden = Array.from({ length: 60 }, (_, index) => `seen-${String(index * 3 + 1).padStart(3, '0')}`);

  beforeEach(async () => {
    for (const id of [...visible, ...hidden])
      serving.tables.set(id, { private: hidden.includes(id), state: 'active' });
    const quoted = [...visible, ...hidden].map((id) => `CREATE TABLE IF NOT EXISTS "${id}" (_id int, n int)`);
    await serving.owner.query(quoted.join('; '));
    // Some of the private ones are known as such, of others nobody has asked CKAN yet.
    await serving.state.pool.query(
      `INSERT INTO dumper.publication (id, life, blob_bytes, public)
       SELECT id, 'pending', length(id) + place % 5, CASE WHEN id = ANY($2) AND place % 2 = 0 THEN false END
       FROM unnest($1::text[]) WITH ORDINALITY AS given(id, place)`,
      [[...visible, ...hidden], hidden],
    );
  });

  it('reads the same bytes whether there are private tables or not', { timeout: 120_000 }, async () => {
    const beside = await everyPage();
    const text = beside.join('\n');
    for (const id of visible) expect(text).toContain(id);
    for (const id of hidden) expect(text).not.toContain(id);
    await serving.state.pool.query('DELETE FROM dumper.publication WHERE id = ANY($1)', [hidden]);
    await serving.owner.query(hidden.map((id) => `DROP TABLE "${id}"`).join('; '));
    expect(await everyPage()).toEqual(beside);
  });

  it('cannot ask by number, nor for what stands behind an id', async () => {
    expect((await ask(`${serving.url}/status?offset=1`)).status).toBe(400);
    expect((await ask(`${serving.url}/status?after=${hidden[0]}`)).status).toBe(400);
    const { next } = JSON.parse((await ask(`${serving.url}/status?limit=7`)).text) as { next: string };
    expect(next).not.toContain('seen');
    const forged = next.replace(/after=(.)/, (_, first: string) => `after=${first === 'A' ? 'B' : 'A'}`);
    expect((await ask(`${serving.url}/status${forged}`)).status).toBe(400);
    expect((await ask(`${serving.url}/status?offset=1&limit=1`, admin)).status).toBe(200);
    const start = await ask(`${serving.url}/?sort=size`);
    expect((await ask(`${serving.url}/?sort=size&after=${hidden[0]}`)).text).toContain(
      /href="tables\/([^"]+)"/.exec(start.text)?.[1],
    );
  });
});
