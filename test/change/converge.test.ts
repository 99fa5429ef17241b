/**
 * P4 and P5 as a model: whatever happens to a table, its records, its manifest and the processes, in any order, ends
 * with what is published being the table as it is, and nothing where there is no table; generations only grow.
 */
import { array, assert, asyncProperty, constantFrom } from 'fast-check';
import { afterAll, beforeAll, expect, test, vi } from 'vitest';
import type { Change } from '../../src/change/change.ts';
import { manifestKey } from '../../src/manifest.ts';
import { asResourceId, type ResourceId } from '../../src/postgres/table.ts';
import { recordCount } from '../world/counts.ts';
import { eventually } from '../world/eventually.ts';
import { actWorld, type ActWorld } from './world.ts';

// a dozen random histories, each until it has settled
vi.setConfig({ testTimeout: 180_000 });

let world: ActWorld;
let changes: Change[];
let turn = 0;

beforeAll(async () => {
  world = await actWorld({ journal: true });
  changes = [await world.start(), await world.start()];
});

afterAll(async () => {
  await world.stop();
});

const create = (id: string): string =>
  `CREATE TABLE IF NOT EXISTS "${id}" (_id serial PRIMARY KEY, _full_text tsvector, a text)`;

/** What can happen; each returns when it has happened, not when it is dealt with. */
const events = {
  insert: async (id) => {
    await world.write.query(`${create(id)}; INSERT INTO "${id}" (a) VALUES ('x')`);
  },
  truncate: async (id) => {
    await world.write.query(`${create(id)}; TRUNCATE "${id}"`);
  },
  comment: async (id) => {
    await world.write.query(`${create(id)}; COMMENT ON COLUMN "${id}".a IS '${String((turn += 1))}'`);
  },
  drop: async (id) => {
    await world.write.query(`DROP TABLE IF EXISTS "${id}"`);
  },
  recreate: async (id) => {
    await world.write.query(`DROP TABLE IF EXISTS "${id}"; ${create(id)}`);
  },
  notice: (id) => changes[0]?.enqueueByName([id]) ?? Promise.resolve(),
  sweep: async () => {
    await changes[1]?.sweep();
  },
  rebuild: (id) => changes[1]?.rebuild([id]) ?? Promise.resolve(),
  'process replaced': async () => {
    await changes.shift()?.stop(0);
    changes.push(await world.start());
  },
  'publication fails': async (id) => {
    let failed = false;
    world.beforePublish = async (table) => {
      if (failed || table !== id) return;
      failed = true;
      throw new Error('once');
    };
  },
  'records lost': async () => {
    await world.state.pool.query('TRUNCATE dumper.publication');
  },
  'queue lost': async () => {
    await world.state.pool.query(`DELETE FROM dumper_queue.job WHERE state < 'active'`);
  },
  'manifest lost': (id) => world.store.delete([manifestKey(id)]),
} satisfies Record<string, (id: ResourceId) => Promise<void>>;
type EventName = keyof typeof events;

async function settled(id: ResourceId): Promise<boolean> {
  const { rowCount } = await world.write.query(`SELECT FROM pg_class WHERE relname = $1`, [id]);
  return rowCount === 0 ? (await world.manifest(id)) === null : world.isFresh(id);
}

test('any order of events ends with published = table', async () => {
  const names = Object.keys(events) as EventName[];
  let happened = 0;
  await assert(
    asyncProperty(array(constantFrom(...names), { minLength: 4, maxLength: 14 }), async (sequence) => {
      const id = asResourceId(`m${(turn += 1)}`);
      for (const name of sequence) {
        await events[name](id);
        happened += 1;
      }
      // a process that comes new lists the store; what failed is asked for again, as an admin would
      const last = await world.start({}, false);
      await last.sweep();
      await last.rebuild([id]);
      await eventually(`settled after ${sequence.join(', ')}`, () => settled(id), { seconds: 120 });
      await last.stop(0);
    }),
    { numRuns: 12, seed: 20_261_121, endOnFailure: true },
  );
  const { rows } = await world.state.pool.query(
    'SELECT id FROM dumper.publication WHERE published_generation > generation',
  );
  expect(rows).toEqual([]);
  recordCount('P5', 'events in random order', happened);
});
