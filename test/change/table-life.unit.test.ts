/** The state of a table's publications: whatever happens in whatever order, the last decisive event decides it. */
import { array, assert, constantFrom, property } from 'fast-check';
import { expect, test } from 'vitest';
import {
  publicationEvents,
  publicationState,
  publicationStates,
  transitions,
  type PublicationState,
  type PublicationEvent,
} from '../../src/state/publication-state.ts';

const after = (events: readonly PublicationEvent[]): PublicationState =>
  events.reduce<PublicationState>((state, event) => transitions[state][event], 'absent');

test('the last decisive event decides, however it was come to', () => {
  const decisive: Partial<Record<PublicationEvent, PublicationState>> = {
    published: 'published',
    unchanged: 'published',
    failed: 'failing',
    'table dropped': 'gone',
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
  const healing = new Set<PublicationEvent>(['published', 'unchanged', 'table dropped']);
  const noise = array(constantFrom(...publicationEvents.filter((event) => !healing.has(event))));
  assert(
    property(noise, (events) => {
      expect(after(['failed', ...events])).toBe('failing');
    }),
  );
});

test('every state can be reached and left for published', () => {
  const reached = new Set<PublicationState>(['absent']);
  for (const state of reached) for (const event of publicationEvents) reached.add(transitions[state][event]);
  expect([...reached].sort()).toEqual([...publicationStates].sort());
  for (const state of publicationStates) expect(transitions[state].published).toBe('published');
});

test('what people read: building needs a living worker, fresh a comparison or a publication', () => {
  const table = {
    absent: 'absent',
    gone: 'absent',
    pending: 'pending',
    building: 'pending',
    failing: 'failed',
  };
  for (const leased of [false, true]) {
    for (const [state, expected] of Object.entries(table) as [PublicationState, string][]) {
      const alive = state === 'building' && leased;
      expect(publicationState({ state, leased }, false)).toBe(alive ? 'building' : expected);
      expect(publicationState({ state, leased })).toBe(alive ? 'building' : expected);
      expect(publicationState({ state, leased }, true)).toBe(alive ? 'building' : 'fresh');
    }
    expect(publicationState({ state: 'published', leased }, false)).toBe('pending');
    expect(publicationState({ state: 'published', leased })).toBe('fresh');
  }
  expect([publicationState(null), publicationState(null, true)]).toEqual(['absent', 'fresh']);
});
