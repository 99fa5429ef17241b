/** The life of a table's dumps: whatever happens in whatever order, what it says last is so. */
import { array, assert, constantFrom, property } from 'fast-check';
import { expect, test } from 'vitest';
import {
  publicationEvents,
  publicationStates,
  transitions,
  type PublicationState,
  type PublicationEvent,
} from '../../src/state/publication-state.ts';

const after = (events: readonly PublicationEvent[]): PublicationState =>
  events.reduce<PublicationState>((life, event) => transitions[life][event], 'absent');

test('the last decisive event decides, however it was come to', () => {
  const decisive: Partial<Record<PublicationEvent, PublicationState>> = {
    switched: 'published',
    confirmed: 'published',
    broke: 'failing',
    dropped: 'gone',
  };
  assert(
    property(
      array(constantFrom(...publicationEvents)),
      constantFrom(...publicationEvents),
      (events, last) => {
        const expected = decisive[last];
        if (expected !== undefined) expect(after([...events, last])).toBe(expected);
      },
    ),
    { numRuns: 2000 },
  );
});

test('a failure stays to be read until a publication succeeds or the table goes', () => {
  const healing = new Set<PublicationEvent>(['switched', 'confirmed', 'dropped']);
  const noise = array(constantFrom(...publicationEvents.filter((event) => !healing.has(event))));
  assert(
    property(noise, (events) => {
      expect(after(['broke', ...events])).toBe('failing');
    }),
  );
});

test('every state can be reached and left for published', () => {
  const reached = new Set<PublicationState>(['absent']);
  for (const life of reached) for (const event of publicationEvents) reached.add(transitions[life][event]);
  expect([...reached].sort()).toEqual([...publicationStates].sort());
  for (const life of publicationStates) expect(transitions[life].switched).toBe('published');
});
