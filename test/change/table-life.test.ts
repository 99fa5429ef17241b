/** The life of a table's dumps: whatever happens in whatever order, what it says last is so. */
import { array, assert, constantFrom, property } from 'fast-check';
import { expect, test } from 'vitest';
import { lifeEvents, lives, nextLife, type Life, type LifeEvent } from '../../src/state/publication-state.ts';

const after = (events: readonly LifeEvent[]): Life =>
  events.reduce<Life>((life, event) => nextLife[life][event], 'absent');

test('the last decisive event decides, however it was come to', () => {
  const decisive: Partial<Record<LifeEvent, Life>> = {
    switched: 'published',
    confirmed: 'published',
    broke: 'failing',
    dropped: 'gone',
  };
  assert(
    property(array(constantFrom(...lifeEvents)), constantFrom(...lifeEvents), (events, last) => {
      const expected = decisive[last];
      if (expected !== undefined) expect(after([...events, last])).toBe(expected);
    }),
    { numRuns: 2000 },
  );
});

test('a failure stays to be read until a publication succeeds or the table goes', () => {
  const healing = new Set<LifeEvent>(['switched', 'confirmed', 'dropped']);
  const noise = array(constantFrom(...lifeEvents.filter((event) => !healing.has(event))));
  assert(
    property(noise, (events) => {
      expect(after(['broke', ...events])).toBe('failing');
    }),
  );
});

test('every state can be reached and left for published', () => {
  const reached = new Set<Life>(['absent']);
  for (const life of reached) for (const event of lifeEvents) reached.add(nextLife[life][event]);
  expect([...reached].sort()).toEqual([...lives].sort());
  for (const life of lives) expect(nextLife[life].switched).toBe('published');
});
