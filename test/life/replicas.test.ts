/**
 * P5 and a rolling upgrade: two versions side by side, whose settings ask for different dumps of the same tables, settle.
 * The one that started last publishes, the other stands aside and goes on answering rightly, and takes over when it is
 * left alone.
 */
import { afterEach, beforeEach, describe, expect, test, vi } from 'vitest';
import { createCkan } from '../../src/ckan/client.ts';
import { readConfig } from '../../src/config/config.ts';
import { createLog } from '../../src/log.ts';
import { createProfileDetector } from '../../src/ckan/detect-version.ts';
import { startCkan } from '../world/fake-ckan.ts';
import { eventually } from '../world/eventually.ts';
import { asAdmin } from '../world/postgres.ts';
import { serviceFixture, type ServiceFixture } from '../world/service.ts';

// Measured with a busy machine, and room beyond.
vi.setConfig({ testTimeout: 120_000 });

let world: ServiceFixture;
beforeEach(async () => {
  world = await serviceFixture();
});
afterEach(() => world.end());

/** Longer than a slow machine holds a beat up. */
const silentSeconds = 8;
const everySecond = { DUMPER_SWEEP_CRON: '* * * * * *' };

/** Whole sweeps that have ended, as the turns tell. */
async function sweepsEnd(count: number): Promise<void> {
  const seen = new Set<string>();
  await eventually(
    `${count} sweeps`,
    async () => {
      const { rows } = await asAdmin(world.database.stateUrl, (state) =>
        state.query<{ ended_at: Date | null }>(`SELECT ended_at FROM dumper.turn WHERE name = 'sweep'`),
      );
      const ended = rows[0]?.ended_at?.toISOString();
      if (ended !== undefined) seen.add(ended);
      return seen.size > count;
    },
    { seconds: 25 },
  );
}

describe('P5 a rolling upgrade', () => {
  test.each([
    ['formats', { DUMPER_FORMATS: 'csv,json' }, { DUMPER_FORMATS: 'csv,xml' }],
    ['versions of CKAN', { DUMPER_CKAN_VERSION: '2.11' }, { DUMPER_CKAN_VERSION: '2.12' }],
  ])('different %s do not publish against each other', async (_what, older, newer) => {
    await world.createTable('rolling', 50);
    const first = await world.start({ ...older, ...everySecond }, { silentSeconds });
    const before = await eventually('published by the first', () => world.manifest('rolling'), {
      seconds: 25,
    });
    const second = await world.start({ ...newer, ...everySecond }, { silentSeconds });
    const settled = await eventually(
      'published by the second',
      async () => {
        const manifest = await world.manifest('rolling');
        return manifest?.generation === before.generation ? null : manifest;
      },
      { seconds: 25 },
    );
    await sweepsEnd(3);
    for (const { base } of [first, second]) {
      for (const format of ['csv', 'json', 'xml'])
        expect((await fetch(`${base}/datastore/dump/rolling?format=${format}`)).status).toBe(200);
    }
    await sweepsEnd(1);
    expect((await world.manifest('rolling'))?.revision).toBe(settled.revision);

    await world.asOwner('UPDATE public.rolling SET n = 0 WHERE _id = 1');
    await eventually(
      'a change is published by the second',
      async () => {
        const manifest = await world.manifest('rolling');
        return manifest?.revision !== settled.revision;
      },
      { seconds: 25 },
    );
    const changed = await world.manifest('rolling');
    expect(Object.keys(changed?.blobs ?? {})).toEqual(Object.keys(settled.blobs));

    await second.service.stop();
    await eventually(
      'the first takes over',
      async () => {
        const manifest = await world.manifest('rolling');
        return manifest !== null && manifest.revision !== changed?.revision;
      },
      { seconds: 25 },
    );
    expect(Object.keys((await world.manifest('rolling'))?.blobs ?? {})).toEqual(Object.keys(before.blobs));
  });
});

test('a CKAN that is upgraded is heard of by answers and publications alike', async () => {
  const ckan = await startCkan({ permissions: () => 200, version: '2.11.6' });
  world.atEnd(() => ckan.stop());
  const ending = new AbortController();
  const config = readConfig({ CKAN_SITE_URL: ckan.url });
  const asked = createCkan({ siteUrl: ckan.url, timeoutSeconds: 5, now: Date.now });
  const profiles = createProfileDetector(config, asked, createLog('silent'), {
    signal: ending.signal,
    againMilliseconds: 20,
  });
  try {
    expect((await profiles.known()).version).toBe('2.11');
    ckan.setVersion('2.12.0');
    await eventually('the new version', () => profiles.current()?.version === '2.12', { seconds: 25 });
    expect((await profiles.known()).version).toBe('2.12');
  } finally {
    ending.abort();
    asked.close();
  }
});

test('a command does not wait for a CKAN that never tells its version', async () => {
  const ckan = await startCkan({ permissions: () => 200 });
  world.atEnd(() => ckan.stop());
  ckan.setFault('error');
  const ending = new AbortController();
  const asked = createCkan({ siteUrl: ckan.url, timeoutSeconds: 5, now: Date.now });
  const profiles = createProfileDetector(
    readConfig({ CKAN_SITE_URL: ckan.url }),
    asked,
    createLog('silent'),
    {
      signal: ending.signal,
      patienceSeconds: 0.1,
    },
  );
  await expect(profiles.known()).rejects.toMatchObject({ code: 'CKAN_UNAVAILABLE' });
  ending.abort();
  asked.close();
});
