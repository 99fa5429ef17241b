/**
 * P23 The whole story on the other Postgres: published, redirected to, changed, stale at once, published anew, taken
 * away; with the change journal and by counters alone. The run's own server (15) has the rest of the suite.
 */
import { afterAll, beforeAll, expect, test } from 'vitest';
import { formats } from '../../src/format.ts';
import { removeTriggers } from '../../src/change/journal.ts';
import { recordCount } from '../world/counts.ts';
import { eventually } from '../world/eventually.ts';
import { asAdmin, startPostgres, type PostgresServer } from '../world/postgres.ts';
import { serviceFixture, type ServiceFixture } from '../world/service.ts';

let server: PostgresServer;
let world: ServiceFixture;

beforeAll(async () => {
  server = await startPostgres({ version: 18 });
  world = await serviceFixture({ server: server.adminUrl });
});
afterAll(async () => {
  await world?.end();
  await server?.stop();
});

const changes = [
  `UPDATE public.story SET name = 'other' WHERE _id = 3`,
  `INSERT INTO public.story (name) VALUES ('more')`,
  'DELETE FROM public.story WHERE _id = 5',
  'ALTER TABLE public.story ADD COLUMN added int4 DEFAULT 7',
  'TRUNCATE public.story RESTART IDENTITY',
];

test.each([
  ['the change journal', {}],
  ['counters alone', { DUMPER_COUNTER_MARGIN_SECONDS: '0', DUMPER_SWEEP_CRON: '* * * * * *' }],
] as const)('P23 the story on Postgres 18 with %s', { timeout: 300_000 }, async (tier, settings) => {
  const { rows } = await asAdmin(server.adminUrl, (admin) =>
    admin.query<{ server_version: string }>('SHOW server_version'),
  );
  expect(rows[0]?.server_version).toMatch(/^18\./);
  if (tier === 'counters alone') await asAdmin(world.database.writeUrl, (owner) => removeTriggers(owner, 5));
  await world.createTable('story', 300);
  const { base, service } = await world.start(settings);
  const dump = `${base}/datastore/dump/story`;
  const read = async (): Promise<string | null> => {
    const answer = await fetch(dump, { redirect: 'manual' });
    return answer.headers.get('x-dump-source') === 'blob' ? answer.headers.get('x-dump-revision') : null;
  };
  // Counters may lag by ten seconds, and more than once, before they are found at rest.
  const revision = (): Promise<string> => eventually('the blob is fresh', read, { seconds: 120 });
  let last = await revision();
  for (const change of changes) {
    await world.asOwner(change);
    last = await eventually(
      `published after ${change}`,
      async () => {
        const now = await revision();
        return now === last ? null : now;
      },
      { seconds: 120 },
    );
    for (const format of formats) {
      const blob = await (await fetch(`${dump}?format=${format}&bom=true`)).text();
      const live = await (await fetch(`${dump}?format=${format}&bom=true&latest=true`)).text();
      expect(blob, `${change}, ${format}`).toBe(live);
    }
  }
  const search = await fetch(`${dump}?filters={"_id":1}&latest=true`);
  expect(search.status).toBe(200);
  await world.asOwner('DROP TABLE public.story');
  expect((await fetch(dump)).status).toBe(404);
  await service.stop();
  recordCount('P23', `changes of a table published on Postgres 18 with ${tier}`, changes.length);
});
