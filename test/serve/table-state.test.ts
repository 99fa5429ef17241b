/** A table's state is one and the same wherever people read it: in `/status`, on the pages, and after a crash. */
import { afterAll, beforeAll, expect, it } from 'vitest';
import { asResourceId } from '../../src/postgres/table.ts';
import { ask, startServing, type Serving } from './serving.ts';

const id = asResourceId('d1000000-0000-4000-8000-000000000002');
const admin = { headers: { authorization: 'Bearer the-admin-token' } };
let serving: Serving;

beforeAll(async () => {
  serving = await startServing({ environment: { DUMPER_ADMIN_TOKEN: 'the-admin-token' } });
  await serving.createTable(id, 2);
});
afterAll(() => serving.close());

/** The state in `/status`, on the table's page, and those that the list of all tables shows it in. */
async function statesShown(): Promise<unknown> {
  const { state } = JSON.parse((await ask(`${serving.url}/status/${id}`)).text) as { state: string };
  const page = (await ask(`${serving.url}/tables/${id}`)).text;
  const states = ['fresh', 'pending', 'building', 'failed', 'absent'];
  const listed = await Promise.all(
    states.map(async (shown) => (await ask(`${serving.url}/?state=${shown}`, admin)).text.includes(id)),
  );
  return {
    state,
    page: page.includes(`class="state ${state}"`),
    listed: states.filter((_, index) => listed[index]),
  };
}

it('building while its worker lives, pending after a crash of the worker, on every path', async () => {
  const { pool, fence } = serving.state;
  await fence.take(id, 0);
  expect(await statesShown()).toEqual({ state: 'building', page: true, listed: ['building'] });
  await pool.query(
    `UPDATE dumper.publication SET beat_at = now() - interval '1 hour', holder = gen_random_uuid()`,
  );
  expect(await statesShown()).toEqual({ state: 'pending', page: true, listed: ['pending'] });
});
