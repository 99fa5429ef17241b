/** RFC 9110, sections 13.1.5 and 14: which bytes a Range header asks for. */
import * as fc from 'fast-check';
import { expect, test } from 'vitest';
import { ifRangeHolds, parseRange } from '../../src/serve/blob-response.ts';

const part = (start: number, end: number): unknown => ({ kind: 'part', range: { start, end } });
const whole = { kind: 'whole' };
const unsatisfiable = { kind: 'unsatisfiable' };

test.each<[string | undefined, number, unknown]>([
  [undefined, 10, whole],
  ['bytes=0-0', 10, part(0, 0)],
  ['bytes=2-5', 10, part(2, 5)],
  ['bytes=2-', 10, part(2, 9)],
  ['bytes=2-99', 10, part(2, 9)],
  ['bytes=-3', 10, part(7, 9)],
  ['bytes=-99', 10, part(0, 9)],
  ['BYTES= 2-5 ', 10, part(2, 5)],
  ['bytes=10-', 10, unsatisfiable],
  ['bytes=10-12', 10, unsatisfiable],
  ['bytes=-0', 10, unsatisfiable],
  ['bytes=0-', 0, unsatisfiable],
  ['bytes=-5', 0, unsatisfiable],
  ['bytes=99999999999999999999-', 10, unsatisfiable],
  ['bytes=5-2', 10, whole],
  ['bytes=0-1,3-4', 10, whole],
  ['bytes=-', 10, whole],
  ['bytes=a-b', 10, whole],
  ['bytes 0-1', 10, whole],
  ['rows=0-1', 10, whole],
  ['', 10, whole],
])('%j of %i bytes', (header, bytes, expected) => {
  expect(parseRange(header, bytes)).toEqual(expected);
});

test('a part always lies inside the representation', () => {
  fc.assert(
    fc.property(
      fc.option(fc.nat(), { nil: '' }),
      fc.option(fc.nat(), { nil: '' }),
      fc.nat(1000),
      (first, last, bytes) => {
        const asked = parseRange(`bytes=${first}-${last}`, bytes);
        if (asked.kind !== 'part') return;
        expect(asked.range.start).toBeGreaterThanOrEqual(0);
        expect(asked.range.start).toBeLessThanOrEqual(asked.range.end);
        expect(asked.range.end).toBeLessThan(bytes);
      },
    ),
  );
});

test('If-Range holds for the same strong tag or the very date only', () => {
  const date = new Date('2026-11-21T12:00:00.123Z');
  expect(ifRangeHolds(undefined, '"a"', date)).toBe(true);
  expect(ifRangeHolds('"a"', '"a"', date)).toBe(true);
  expect(ifRangeHolds('"b"', '"a"', date)).toBe(false);
  expect(ifRangeHolds('W/"a"', 'W/"a"', date)).toBe(false);
  expect(ifRangeHolds('Sat, 21 Nov 2026 12:00:00 GMT', '"a"', date)).toBe(true);
  expect(ifRangeHolds('Sat, 21 Nov 2026 12:00:01 GMT', '"a"', date)).toBe(false);
  expect(ifRangeHolds('Sat, 21 Nov 2026 12:00:00 GMT', '"a"', null)).toBe(false);
  expect(ifRangeHolds('nonsense', '"a"', date)).toBe(false);
});
