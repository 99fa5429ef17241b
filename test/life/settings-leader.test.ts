/** P5: which settings lead, where processes with different ones share a state database. */
import { afterEach, beforeEach, expect, test } from 'vitest';
import { openState, type State } from '../../src/state/state.ts';
import { acquire, renew, type Lease } from '../../src/app/settings-leader.ts';
import { eventually } from '../world/eventually.ts';
import { freshDatabase, type Database } from '../world/postgres.ts';

let database: Database;
let state: State;

beforeEach(async () => {
  database = await freshDatabase();
  state = await openState({ url: database.stateUrl, onIdleError: () => undefined });
});
afterEach(async () => {
  await state.close();
  await database.drop();
});

/** A process with these settings asks for the lead. */
async function process(fingerprint: string, silentSeconds = 60): Promise<Lease> {
  return { fingerprint, acquiredAt: await acquire(state.pool, fingerprint), silentSeconds };
}

test('P5 the last to acquire leads, and its equals with it; the others do not', async () => {
  const older = await process('older');
  expect(await renew(state.pool, older)).toBe(true);
  const newer = await process('newer');
  expect(await renew(state.pool, older)).toBe(false);
  expect(await renew(state.pool, newer)).toBe(true);
  expect(await renew(state.pool, { ...newer, acquiredAt: older.acquiredAt })).toBe(true);
  expect(await renew(state.pool, older)).toBe(false);
});

test('P5 who is left takes over from a silent leader, and gives its place back when that one was only held up', async () => {
  const older = await process('older');
  const newer = await process('newer');
  await eventually('the newer one is silent for too long', () =>
    renew(state.pool, { ...older, silentSeconds: 0.05 }),
  );
  expect(await renew(state.pool, newer)).toBe(true);
  expect(await renew(state.pool, older)).toBe(false);
});
