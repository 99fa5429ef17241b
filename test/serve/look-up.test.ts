/** P4: requests that share a look-up never share one that began before them. */
import { expect, test } from 'vitest';
import type { Queryable } from '../../src/postgres.ts';
import { createLookUp } from '../../src/serve/look-up.ts';

interface Asked {
  readonly name: unknown;
  answer(token: string): void;
  fail(error: Error): void;
}

/** A database whose answers the test gives. */
function slowDatabase(): { db: Queryable; asked: Asked[] } {
  const asked: Asked[] = [];
  const query = (_query: unknown): Promise<unknown> => {
    const { promise, resolve, reject } = Promise.withResolvers<unknown>();
    const name = (_query as { values: unknown[] }).values[0];
    const row = (token: string) => ({ id: name, exact: true, journal: true, bytes: '1', token });
    asked.push({ name, answer: (token) => resolve({ rows: [row(token)] }), fail: reject });
    return promise;
  };
  return { db: { query } as unknown as Queryable, asked };
}

const settle = (): Promise<void> => new Promise((resolve) => setImmediate(resolve));

test('P4 who asks while a query is under way gets the next one, which all who wait share', async () => {
  const { db, asked } = slowDatabase();
  const lookUp = createLookUp(db);
  const first = lookUp('a');
  const [second, third, other] = [lookUp('a'), lookUp('a'), lookUp('b')];
  expect(asked.map(({ name }) => name)).toEqual(['a', 'b']);
  asked[0]?.answer('one');
  asked[1]?.answer('of b');
  await settle();
  const fourth = lookUp('a');
  expect(asked).toHaveLength(3);
  asked[2]?.answer('two');
  await settle();
  asked[3]?.answer('three');
  const rows = await Promise.all([first, second, third, fourth, other]);
  expect(rows[1]).toEqual(rows[2]);
  const tokens = rows.map((row) => JSON.stringify(row));
  expect(new Set(tokens).size).toBe(4);
  expect(tokens[0]).toContain('one');
  expect(tokens[1]).toContain('two');
  expect(tokens[3]).toContain('three');
});

test('a query that fails fails its own askers only', async () => {
  const { db, asked } = slowDatabase();
  const lookUp = createLookUp(db);
  const first = lookUp('a');
  const second = lookUp('a');
  asked[0]?.fail(new Error('gone'));
  await expect(first).rejects.toThrow('gone');
  await settle();
  asked[1]?.answer('two');
  expect(JSON.stringify(await second)).toContain('two');
  const third = lookUp('a');
  asked[2]?.answer('three');
  expect(JSON.stringify(await third)).toContain('three');
});
