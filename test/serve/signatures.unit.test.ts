/** P6: a signed URL may be given to several who ask within a moment, and never outlives the life that was asked for. */
import { expect, test } from 'vitest';
import type { SignOptions } from '../../src/blob-store/blob-store.ts';
import { reuseSignatures } from '../../src/serve/blob-response.ts';

function numbered(): {
  sign: (key: string, options: SignOptions) => Promise<string>;
  at: (time: number) => void;
} {
  let [now, count] = [0, 0];
  const sign = reuseSignatures(
    async (key, { contentDisposition }) => `${key}?${contentDisposition ?? ''}#${(count += 1)}`,
    () => now,
  );
  return { sign, at: (time) => (now = time) };
}

test('P6 a signature is given again for a second, then made anew', async () => {
  const { sign, at } = numbered();
  const life = { lifeSeconds: 300 };
  expect(await sign('a', life)).toBe('a?#1');
  at(999);
  expect(await sign('a', life)).toBe('a?#1');
  at(1000);
  expect(await sign('a', life)).toBe('a?#2');
});

test('P6 a short life is given again for a hundredth of it only', async () => {
  const { sign, at } = numbered();
  expect(await sign('a', { lifeSeconds: 2 })).toBe('a?#1');
  at(20);
  expect(await sign('a', { lifeSeconds: 2 })).toBe('a?#2');
});

test('P9 other keys and other headers have signatures of their own', async () => {
  const { sign } = numbered();
  const urls = [
    await sign('a', { lifeSeconds: 300 }),
    await sign('b', { lifeSeconds: 300 }),
    await sign('a', { lifeSeconds: 300, contentDisposition: 'attachment' }),
    await sign('a', { lifeSeconds: 300, cacheControl: 'private, no-store' }),
    await sign('a', { lifeSeconds: 200 }),
  ];
  expect(new Set(urls).size).toBe(5);
});

test('a signature that failed is asked for again', async () => {
  let tries = 0;
  const sign = reuseSignatures(async (key) => {
    tries += 1;
    if (tries === 1) throw new Error('no credentials');
    return key;
  });
  await expect(sign('a', { lifeSeconds: 300 })).rejects.toThrow('no credentials');
  expect(await sign('a', { lifeSeconds: 300 })).toBe('a');
});
