/** A sort by a column with few values: every row comes, each once, where CKAN's pages double some and lose others. */
import { afterEach, expect, it } from 'vitest';
import { startServing, type Serving } from './serving.ts';

const id = 'f1100000-0000-4000-8000-0000000000e5';
const rows = 70_000;

let serving: Serving | null = null;
afterEach(() => serving?.close());

it('P22: rows with equal sort values all come, each once', async () => {
  serving = await startServing();
  await serving.createTable(id, 0);
  await serving.owner.query(
    `INSERT INTO "${id}" (n, text) SELECT i % 3, '' FROM generate_series(1, ${rows}) i`,
  );
  const answer = await fetch(`${serving.url}/datastore/dump/${id}?sort=n&fields=_id,n`);
  expect(answer.headers.get('x-dump-source')).toBe('live');
  const lines = (await answer.text()).trimEnd().split(/\r?\n/).slice(1);
  expect(new Set(lines).size).toBe(rows);
  expect(lines.length).toBe(rows);
  const order = lines.map((line) => Number(line.split(',')[1]));
  expect(order).toEqual(order.toSorted((left, right) => left - right));
});
