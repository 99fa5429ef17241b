/** P5: whose settings are in force, where processes with different ones share a state database. */
import { afterEach, beforeEach, expect, test } from 'vitest';
import { openState, type State } from '../../src/state/state.ts';
import { createSettingsLeader } from '../../src/state/precedence.ts';
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

test('P5 the last to declare is in force, and its equals with it; the others stand aside', async () => {
  const precedence = createSettingsLeader(state.pool, 60);
  const older = await precedence.acquire('older');
  expect(await precedence.renew('older', older)).toBe(true);
  const newer = await precedence.acquire('newer');
  expect(await precedence.renew('older', older)).toBe(false);
  expect(await precedence.renew('newer', newer)).toBe(true);
  expect(await precedence.renew('newer', older)).toBe(true);
  expect(await precedence.renew('older', older)).toBe(false);
});

test('P5 who is left takes over from a silent one, and gives its place back when that one was only held up', async () => {
  const hasty = createSettingsLeader(state.pool, 0.05);
  const patient = createSettingsLeader(state.pool, 60);
  const older = await patient.acquire('older');
  const newer = await patient.acquire('newer');
  await eventually('the newer one is silent for too long', () => hasty.renew('older', older), {
    seconds: 30,
  });
  expect(await patient.renew('newer', newer)).toBe(true);
  expect(await patient.renew('older', older)).toBe(false);
});
