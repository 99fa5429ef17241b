/**
 * Manifests that somebody else wrote into the store: never served, answered live, replaced by the next publication (P9,
 * access only as CKAN grants it; P21, what is broken elsewhere takes no dump away).
 */
import { afterAll, beforeAll, beforeEach, expect, it } from 'vitest';
import { manifestKey, readPublished, type Manifest } from '../../src/manifest.ts';
import { ask, startServing, type Serving } from './serving.ts';

let serving: Serving;
let own: Manifest;
let others: Manifest;
const id = 'a0000000-0000-4000-8000-0000000000aa';
const secret = 'a0000000-0000-4000-8000-0000000000bb';

beforeAll(async () => {
  serving = await startServing();
  await serving.createTable(id, 20);
  await serving.createTable(secret, 30, { private: true });
  await serving.publish(secret, { public: false });
  others = await manifestOf(secret);
});
beforeEach(async () => {
  await serving.publish(id, { force: true });
  own = await manifestOf(id);
});
afterAll(() => serving.close());

async function manifestOf(table: string): Promise<Manifest> {
  const manifest = (await readPublished(serving.store, table))?.manifest ?? null;
  if (manifest === null) throw new Error(`${table} has no manifest`);
  return manifest;
}

async function write(manifest: unknown): Promise<void> {
  const there = await serving.store.readSmall(manifestKey(id));
  const body = Buffer.from(JSON.stringify(manifest));
  await serving.store.replaceSmall(manifestKey(id), body, 'application/json', there?.version ?? null);
  serving.world.manifests.forget(id);
}

const csv = (change: Partial<NonNullable<Manifest['blobs']['csv']>>): unknown => ({
  ...own,
  blobs: { ...own.blobs, csv: { ...own.blobs.csv, ...change } },
});

const hostile: readonly (readonly [string, () => unknown])[] = [
  ["another table's manifest", () => others],
  ["another table's manifest with this table's token", () => ({ ...others, token: own.token })],
  ["another table's id", () => ({ ...own, resource_id: secret })],
  ["another table's blobs", () => ({ ...own, revision: others.revision, blobs: others.blobs })],
  ["one blob that is another table's", () => csv({ key: others.blobs.csv?.key ?? '' })],
  ['one blob that is of another format', () => csv({ key: own.blobs.json?.key ?? '' })],
  ['one blob that is of another revision', () => ({ ...own, revision: `${'0'.repeat(20)}-00000000` })],
  ['one blob under the public prefix', () => csv({ key: `public/${own.blobs.csv?.key}` })],
  ['a key that climbs', () => csv({ key: `${id}/../${secret}/manifest.json` })],
  ['a key of no shape', () => csv({ key: 'x' })],
  ['a negative length', () => csv({ bytes: -1 })],
  ['a length that is no number', () => csv({ bytes: '20' as unknown as number })],
  ['a length beyond all numbers', () => csv({ bytes: 1e300 })],
  ['control characters in the media type', () => csv({ content_type: 'text/csv\r\nX-Evil: 1' })],
  ['control characters in the revision', () => ({ ...own, revision: 'a\r\nX-Evil: 1' })],
  ['control characters in the token', () => ({ ...own, token: `${own.token}\n` })],
  [
    'a superseded revision that climbs',
    () => ({ ...own, superseded: [{ revision: '../x', at: own.published_at }] }),
  ],
];

it.each(hostile)(
  'P9: %s: never served, answered live, replaced by the next publication',
  async (_name, manifest) => {
    const live = await ask(`${serving.url}/datastore/dump/${id}?latest=true`);
    await write(manifest());
    for (const query of ['', '?redirect=false', '?format=json&redirect=false']) {
      const answer = await ask(`${serving.url}/datastore/dump/${id}${query}`);
      expect([answer.status, answer.headers.get('x-dump-source')]).toEqual([200, 'live']);
      if (query !== '?format=json&redirect=false') expect(answer.text).toBe(live.text);
    }
    await serving.publish(id);
    serving.world.manifests.forget(id);
    const after = await ask(`${serving.url}/datastore/dump/${id}`);
    expect([after.status, after.headers.get('x-dump-source')]).toEqual([302, 'blob']);
  },
);
