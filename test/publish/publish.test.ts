/** Publishing a table on real parts: whole or not at all, one instant, nothing half visible. */
import { createHash } from 'node:crypto';
import { buffer } from 'node:stream/consumers';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { readPublished, type Manifest } from '../../src/manifest.ts';
import { publish } from '../../src/publish/publish.ts';
import type { PublishFence } from '../../src/state/fence.ts';
import { pruneSuperseded, unpublish } from '../../src/publish/cleanup.ts';
import { verify } from '../../src/publish/verify.ts';
import { asResourceId } from '../../src/postgres/table.ts';
import { asAdmin } from '../world/postgres.ts';
import { clearAway, openPublishing, plainly, publishedVariants, type Publishing } from './publishing.ts';

const signal = new AbortController().signal;
const id = asResourceId('t-publish');
let publishing: Publishing;

beforeAll(async () => {
  publishing = await openPublishing();
  await asAdmin(publishing.database.writeUrl, (owner) =>
    owner.query(`CREATE TABLE public."t-publish" (_id serial PRIMARY KEY, _full_text tsvector, name text, n int4);
      INSERT INTO public."t-publish" (name, n) SELECT 'name ' || i, i FROM generate_series(1, 5000) i`),
  );
});
afterAll(() => publishing.close());

async function keys(): Promise<string[]> {
  const listings = await Array.fromAsync(publishing.store.list(''));
  return listings.map((listing) => listing.key).sort();
}

async function publishOnce(): Promise<Manifest> {
  const outcome = await publish(publishing.world(), id, plainly({ force: true }));
  await publishing.state.fence.release(id);
  if (outcome.kind !== 'published') throw new Error(outcome.kind);
  return outcome.manifest;
}

describe('publish', () => {
  test('P1 every variant is written, hashed and named by the manifest', async () => {
    const manifest = await publishOnce();
    expect(Object.keys(manifest.blobs).sort()).toEqual([...publishedVariants].sort());
    expect(manifest.rows).toBe(5000);
    for (const [variant, blob] of Object.entries(manifest.blobs)) {
      const source = await publishing.store.read(blob.key, signal);
      const bytes = await buffer(source!);
      expect(bytes.length).toBe(blob.bytes);
      expect(createHash('sha256').update(bytes).digest('hex')).toBe(blob.sha256);
      expect(bytes.subarray(0, 3).equals(Buffer.from([0xef, 0xbb, 0xbf]))).toBe(variant.endsWith('+bom'));
      expect(blob.key).toBe(
        `${id}/${manifest.revision}/${variant.endsWith('+bom') ? 'bom/' : ''}${id}.${variant.split('+')[0]}`,
      );
    }
    const findings = await Array.fromAsync(verify(publishing.store, manifest, signal));
    expect(findings.map((finding) => finding.kind)).toEqual(publishedVariants.map(() => 'sound'));
  });

  test('an unchanged table is not published again unless forced', async () => {
    await asAdmin(publishing.database.writeUrl, (owner) => owner.query(`ANALYZE public."t-publish"`));
    const first = await publishOnce();
    const again = await publish(publishing.world(), id, plainly());
    await publishing.state.fence.release(id);
    if (again.kind === 'unchanged') expect(again.manifest.revision).toBe(first.revision);
    else expect(first.tier).toBe('read-only');
  });

  test('P7 a publication broken off leaves the manifest and nothing else', async () => {
    await publishOnce();
    const before = await readPublished(publishing.store, id);
    const breaking = new AbortController();
    const world = publishing.world({ onStep: (_id, step) => step === 'uploaded' && breaking.abort() });
    await expect(
      publish(world, id, plainly({ force: true, signal: breaking.signal })).finally(() =>
        publishing.state.fence.release(id),
      ),
    ).rejects.toThrow();
    const after = await readPublished(publishing.store, id);
    expect(after).toEqual(before);
    await clearAway(publishing, after!.manifest!, { now: new Date(), retireSeconds: 0 });
    const living = Object.values(after!.manifest!.blobs).map((blob) => blob.key);
    expect(await keys()).toEqual([...living, `${id}/manifest.json`].sort());
  });

  test('P6 superseded blobs live as long as a URL handed out, then go', async () => {
    const first = await publishOnce();
    const second = await publishOnce();
    expect(second.superseded.map((entry) => entry.revision)).toContain(first.revision);
    const at = new Date(second.superseded.at(-1)!.at).getTime();
    await clearAway(publishing, second, { now: new Date(at + 599_000), retireSeconds: 600 });
    expect((await keys()).some((key) => key.includes(first.revision))).toBe(true);
    await clearAway(publishing, second, { now: new Date(at + 601_000), retireSeconds: 600 });
    expect((await keys()).some((key) => key.includes(first.revision))).toBe(false);
    expect((await keys()).some((key) => key.includes(second.revision))).toBe(true);
  });

  test('P5 a worker that was paused after its switch deletes nothing of its successor', async () => {
    const { store, state } = publishing;
    const paused = await publishOnce();
    const published = await publishOnce();
    const soon = { now: new Date(Date.now() + 3_600_000), retireSeconds: 0 };
    const late = { manifest: paused, generation: paused.generation };
    expect(await pruneSuperseded(store, state.fence, late, soon)).toBe(0);
    // Nor does one who took the fence in its turn and goes by what it read before.
    const generation = await state.fence.take(id, 0);
    expect(await pruneSuperseded(store, state.fence, { manifest: paused, generation }, soon)).toBeGreaterThan(
      0,
    );
    await state.fence.release(id);
    const living = Object.values(published.blobs).map((blob) => blob.key);
    expect(await keys()).toEqual([...living, `${id}/manifest.json`].sort());
  });

  test('P5 what another published before the fence was taken is superseded, not overwritten', async () => {
    const world = publishing.world();
    let between: Manifest | undefined;
    const take: PublishFence['take'] = async (table, known) => {
      between = await publishOnce();
      return world.fence.take(table, known);
    };
    const outcome = await publish(
      { ...world, fence: { ...world.fence, take } },
      id,
      plainly({ force: true }),
    );
    await publishing.state.fence.release(id);
    if (outcome.kind !== 'published') throw new Error(outcome.kind);
    expect(outcome.manifest.superseded.map((entry) => entry.revision)).toContain(between?.revision);
  });

  test('P5 a worker whose fence was taken cannot switch the manifest', async () => {
    const current = await publishOnce();
    const before = await keys();
    const world = publishing.world();
    const outcome = await publish(
      { ...world, fence: stolenFence(world.fence) },
      id,
      plainly({ force: true }),
    );
    await publishing.state.fence.release(id);
    expect(outcome.kind).toBe('superseded');
    expect((await readPublished(publishing.store, id))?.manifest?.revision).toBe(current.revision);
    expect(await keys(), 'P7: the blobs that nothing names are gone').toEqual(before);
  });

  test('P7 a store that refuses a condition that holds is a failure by name, and nothing is left of the attempt', async () => {
    const current = await publishOnce();
    const before = await keys();
    const { store } = publishing;
    const changing: typeof store = {
      ...store,
      readSmall: async (key) => {
        const found = await store.readSmall(key);
        return found && { ...found, version: `another ${Math.random()}` };
      },
    };
    await expect(
      publish(publishing.world({ store: changing }), id, plainly({ force: true })).finally(() =>
        publishing.state.fence.release(id),
      ),
    ).rejects.toMatchObject({
      code: 'BLOB_STORE_UNAVAILABLE',
      message: expect.stringContaining('conditional'),
    });
    expect((await readPublished(store, id))?.manifest?.revision).toBe(current.revision);
    expect(await keys()).toEqual(before);
  });

  test('a data dictionary that fits into no manifest is a failure by name, and nothing is left of the attempt', async () => {
    const comment = (text: string): Promise<unknown> =>
      asAdmin(publishing.database.writeUrl, (owner) =>
        owner.query(`COMMENT ON COLUMN public."t-publish".name IS '${text}'`),
      );
    const current = await publishOnce();
    const before = await keys();
    await comment(`{"_info": {"label": "${'long '.repeat(4_000_000)}"}}`);
    await expect(
      publish(publishing.world({ variants: ['csv'] }), id, plainly()).finally(() =>
        publishing.state.fence.release(id),
      ),
    ).rejects.toMatchObject({ code: 'MANIFEST_INVALID', message: expect.stringContaining('dictionary') });
    await comment('');
    expect((await readPublished(publishing.store, id))?.manifest?.revision).toBe(current.revision);
    expect(await keys()).toEqual(before);
  });

  test('a table that is gone is told as gone, and withdrawn whole', async () => {
    await publishOnce();
    await asAdmin(publishing.database.writeUrl, (owner) => owner.query(`DROP TABLE public."t-publish"`));
    expect(await publish(publishing.world(), id, plainly())).toEqual({ kind: 'gone' });
    expect(await unpublish(publishing.store, publishing.state.fence, id)).toBe(true);
    await publishing.state.fence.release(id);
    expect(await keys()).toEqual([]);
  });
});

/** A fence that another worker takes while the blobs are being written. */
function stolenFence(fence: PublishFence): PublishFence {
  return {
    take: (table, published) => fence.take(table, published),
    switchUnder: async (table, generation, action) => {
      await fence.take(table, generation);
      return fence.switchUnder(table, generation, action);
    },
  };
}
