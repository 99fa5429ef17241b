/** P4: requests that share a look-up never share one that began before them. */
import { expect, test } from 'vitest';
import type { Queryable } from '../../src/postgres/pool.ts';
import { createBatchedLookup } from '../../src/serve/batched-lookup.ts';

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

/** Two turns of the event loop: in the first the query is sent. */
const settle = async (): Promise<void> => {
  for (let turn = 0; turn < 2; turn += 1) await new Promise((resolve) => setImmediate(resolve));
};

test('P4 who asks together shares a query; who asks while it is under way gets the next one', async () => {
  const { db, asked } = slowDatabase();
  const batched = createBatchedLookup(db);
  const lookUp = (name: string) => batched(name).found;
  const [first, alongside, other] = [lookUp('a'), lookUp('a'), lookUp('b')];
  expect(asked).toHaveLength(0);
  await settle();
  expect(asked.map(({ name }) => name)).toEqual(['a', 'b']);
  const [second, third] = [lookUp('a'), lookUp('a')];
  await settle();
  expect(asked.map(({ name }) => name)).toEqual(['a', 'b']);
  asked[0]?.answer('one');
  asked[1]?.answer('of b');
  await settle();
  expect(asked).toHaveLength(3);
  const fourth = lookUp('a');
  await settle();
  expect(asked).toHaveLength(3);
  asked[2]?.answer('two');
  await settle();
  asked[3]?.answer('three');
  const rows = await Promise.all([first, alongside, second, third, fourth, other]);
  const tokens = rows.map((row) => row?.token);
  expect(tokens).toEqual(['one', 'one', 'two', 'two', 'three', 'of b']);
});

test('a query that fails fails its own askers only', async () => {
  const { db, asked } = slowDatabase();
  const batched = createBatchedLookup(db);
  const lookUp = (name: string) => batched(name).found;
  const first = lookUp('a');
  await settle();
  const second = lookUp('a');
  asked[0]?.fail(new Error('gone'));
  await expect(first).rejects.toThrow('gone');
  await settle();
  asked[1]?.answer('two');
  expect(JSON.stringify(await second)).toContain('two');
  const third = lookUp('a');
  await settle();
  asked[2]?.answer('three');
  expect(JSON.stringify(await third)).toContain('three');
});
