/** P5: whose settings are in force, where processes with different ones share a state database. */
import { afterEach, beforeEach, expect, test } from 'vitest';
import { openState, type State } from '../../src/state/state.ts';
import { createPrecedence } from '../../src/state/precedence.ts';
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
  const precedence = createPrecedence(state.pool, 60);
  const older = await precedence.declare('older');
  expect(await precedence.keep('older', older)).toBe(true);
  const newer = await precedence.declare('newer');
  expect(await precedence.keep('older', older)).toBe(false);
  expect(await precedence.keep('newer', newer)).toBe(true);
  expect(await precedence.keep('newer', older)).toBe(true);
  expect(await precedence.keep('older', older)).toBe(false);
});

test('P5 who is left takes over from a silent one, and gives its place back when that one was only held up', async () => {
  const hasty = createPrecedence(state.pool, 0.05);
  const patient = createPrecedence(state.pool, 60);
  const older = await patient.declare('older');
  const newer = await patient.declare('newer');
  await eventually('the newer one is silent for too long', () => hasty.keep('older', older));
  expect(await patient.keep('newer', newer)).toBe(true);
  expect(await patient.keep('older', older)).toBe(false);
});
