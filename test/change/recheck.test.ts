/** P4, read-only tier: a notice that comes before Postgres's counters is not forgotten, and nothing of it is an error. */
import { afterEach, expect, test } from 'vitest';
import { startPostgres } from '../world/postgres.ts';
import { eventually } from '../world/eventually.ts';
import { actWorld, type ActWorld } from './world.ts';

let world: ActWorld;
afterEach(() => world.stop());

test('P4: a table is published although nobody asks again after a notice that came too early', async () => {
  world = await actWorld({ journal: false });
  const id = await world.createTable('a');
  const change = await world.start();
  await eventually('published', () => world.isFresh(id), { seconds: 25 });
  // The second of two commits within a second: its counters stay with the session until it has been idle for long.
  await world.write.query(`INSERT INTO a (a) VALUES ('x')`);
  await world.write.query(`INSERT INTO a (a) VALUES ('y')`);
  await change.enqueueByName(['a']);
  await eventually('all rows are published', async () => (await world.manifest(id))?.rows === 3, {
    seconds: 25,
  });
  await eventually(
    'fresh, and recorded so',
    async () => (await world.isFresh(id)) && (await world.state.publications.get(id))?.state === 'published',
    { seconds: 25 },
  );
});

test('sweeps without a journal leave no error in Postgres’s log', async () => {
  const server = await startPostgres();
  try {
    world = await actWorld({ journal: false, server: server.adminUrl });
    await world.createTable('a');
    const change = await world.start({}, false);
    const before = server.log().length;
    await change.sweep();
    await change.sweep();
    expect(server.log().slice(before)).not.toContain('ERROR');
  } finally {
    await world.stop();
    await server.stop();
  }
});
