/** Promise P10 at the publication itself: where blobs lie follows who may read, whenever that changes. */
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { removePublicBlobs } from '../../src/publish/cleanup.ts';
import { readPublished } from '../../src/manifest.ts';
import { publish, type PublishOutcome, type PublishDeps } from '../../src/publish/publish.ts';
import { installTriggers } from '../../src/change/journal.ts';
import { asResourceId, type ResourceId } from '../../src/postgres/table.ts';
import { asAdmin } from '../world/postgres.ts';
import { clearAway, openPublishing, plainly, type Publishing } from './publishing.ts';

const id = asResourceId('t-public-blobs');
let publishing: Publishing;

beforeAll(async () => {
  publishing = await openPublishing();
  await asAdmin(publishing.database.writeUrl, async (owner) => {
    for (const name of ['t-public-blobs', 'public']) {
      await owner.query(`CREATE TABLE public."${name}" (_id serial PRIMARY KEY, _full_text tsvector, n int4);
        INSERT INTO public."${name}" (n) SELECT generate_series(1, 20)`);
    }
    // the exact tier: counters of a table just made would still move
    await installTriggers(owner, { readRole: 'datastore_default', lockSeconds: 5 });
  });
});
afterAll(() => publishing.close());

async function keys(): Promise<string[]> {
  return (await Array.fromAsync(publishing.store.list(''))).map(({ key }) => key).sort();
}

async function publishAs(
  visibility: PublishDeps['visibility'],
  table: ResourceId = id,
): Promise<PublishOutcome> {
  try {
    return await publish(publishing.world({ visibility }), table, plainly());
  } finally {
    await publishing.state.fence.release(table);
  }
}

const open = async () => ({ public: true, underPublicPrefix: true });
const closed = async () => ({ public: false, underPublicPrefix: true });

async function openOnce(): Promise<string> {
  const outcome = await publishAs(open);
  if (outcome.kind !== 'published' && outcome.kind !== 'unchanged') throw new Error(outcome.kind);
  return outcome.manifest.revision;
}

describe('P10 where blobs lie', () => {
  test('follows who may read: out of the public prefix, and back', async () => {
    const first = await openOnce();
    expect((await keys()).filter((key) => key.startsWith(`public/${id}/${first}/`))).not.toEqual([]);
    const hidden = await publishAs(closed);
    expect(hidden.kind).toBe('published');
    expect((await keys()).filter((key) => key.startsWith('public/'))).toEqual([]);
    expect((await keys()).length).toBeGreaterThan(1);
    expect((await publishAs(closed)).kind).toBe('unchanged');
    expect(await openOnce()).not.toBe(first);
    expect((await keys()).some((key) => key.startsWith(`public/${id}/`))).toBe(true);
  });

  test('public blobs are gone before the new ones are begun', async () => {
    await openOnce();
    const seen: Promise<string[]>[] = [];
    const world = publishing.world({
      visibility: closed,
      onStep: (_id, step) => {
        if (step === 'scanning') seen.push(keys());
      },
    });
    await publish(world, id, plainly());
    await publishing.state.fence.release(id);
    const [atScanning] = await Promise.all(seen);
    expect(atScanning?.filter((key) => key.startsWith('public/'))).toEqual([]);
  });

  test('made private while it is scanned: nothing of it is named, and nothing public stays', async () => {
    await publishAs(closed);
    const before = await readPublished(publishing.store, id);
    let asked = 0;
    const outcome = await publishAs(async () => ({ public: (asked += 1) === 1, underPublicPrefix: true }));
    expect([outcome.kind, asked]).toEqual(['superseded', 2]);
    const after = await readPublished(publishing.store, id);
    expect(after).toEqual(before);
    await clearAway(publishing, after!.manifest!, { now: new Date(), retireSeconds: 600 });
    expect((await keys()).filter((key) => key.startsWith('public/'))).toEqual([]);
  });

  test('while nobody can tell, it stays as it is; what is new is private', async () => {
    const revision = await openOnce();
    const unsure = await publishAs(async () => ({ public: null, underPublicPrefix: true }));
    expect(unsure.kind === 'unchanged' && unsure.manifest.revision).toBe(revision);
    await removePublicBlobs(publishing.store, id);
    expect(await keys()).not.toContain(`${id}/manifest.json`);
    const fresh = await publishAs(async () => ({ public: null, underPublicPrefix: true }));
    expect(fresh.kind === 'published' && fresh.manifest.public).toBe(false);
    expect((await keys()).filter((key) => key.startsWith('public/'))).toEqual([]);
  });

  test('without a public address a change of readers moves no byte', async () => {
    const before = await publishAs(async () => ({ public: false, underPublicPrefix: false }));
    const after = await publishAs(async () => ({ public: true, underPublicPrefix: false }));
    if (!('manifest' in before) || !('manifest' in after)) throw new Error('not published');
    expect([after.kind, after.manifest.public]).toEqual(['published', true]);
    expect(after.manifest.blobs).toEqual(before.manifest.blobs);
  });

  test('P17 a table called as the public prefix is never published', async () => {
    await expect(publishAs(closed, asResourceId('public'))).rejects.toMatchObject({ code: 'BAD_PARAMETER' });
    expect((await keys()).filter((key) => key.startsWith('public/'))).toEqual([]);
  });
});
