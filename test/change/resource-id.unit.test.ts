/** P17: what names no table becomes no table's id: names of notices, keys of the store, questions of permission. */
import { expect, test } from 'vitest';
import { parseBlobKey, parseManifestKey } from '../../src/manifest.ts';
import { parseResourceId } from '../../src/postgres/table.ts';

const revision = '0123456789abcdef0123-01234567';
const bad = ['', 'a\0', 'line\nbreak', '\u001b[0m', '\u007f', 'x'.repeat(64), 'é'.repeat(32)];
const good = [
  't',
  'd1000000-0000-4000-8000-000000000001',
  'x'.repeat(63),
  'é'.repeat(31),
  "it's “fine”",
  'a/b',
];

test('P17 a name of up to 63 bytes without control characters is an id, nothing else', () => {
  expect(bad.map(parseResourceId)).toEqual(bad.map(() => null));
  expect(good.map(parseResourceId)).toEqual(good);
});

test('P17 keys name a blob or a manifest only with such an id', () => {
  for (const id of bad) {
    expect(parseBlobKey(`${id}/${revision}/${id}.csv`)).toBeNull();
    expect(parseManifestKey(`${id}/manifest.json`)).toBeNull();
  }
  for (const id of good) {
    const parts = { id, revision };
    expect(parseBlobKey(`${id}/${revision}/${id}.csv`)).toEqual({ ...parts, underPublicPrefix: false });
    expect(parseBlobKey(`public/${id}/${revision}/bom/${id}.csv`)).toEqual({
      ...parts,
      underPublicPrefix: true,
    });
  }
  expect(parseManifestKey('t/manifest.json')).toBe('t');
  expect(parseManifestKey('a/b/manifest.json')).toBeNull();
  expect(parseManifestKey(`t/${revision}/t.csv`)).toBeNull();
});
