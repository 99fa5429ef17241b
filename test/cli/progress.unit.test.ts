/** Progress in a pipe, for machines, and the numbers it prints. */
import { describe, expect, it } from 'vitest';
import { bytesText, countText, durationText } from '../../src/units.ts';
import { showProgress, type Progress } from '../../src/cli/progress.ts';
import { showStatus } from '../../src/cli/commands/status.ts';

const events: readonly Progress[] = [
  { table: 'a', state: 'building', rows: 10, bytes: 2048 },
  { table: 'b', state: 'building', rows: 0, bytes: 0 },
  { table: 'a', state: 'published', rows: 20, bytes: 4096 },
  { table: 'b', state: 'failed', rows: 3, bytes: 0, reason: 'the table is locked' },
];

async function* stream(list: readonly Progress[]): AsyncGenerator<Progress> {
  yield* list;
}

function output(json: boolean) {
  const lines: string[] = [];
  return {
    lines,
    json,
    terminal: false,
    columns: 80,
    line: (text: string) => void lines.push(text),
    notice: () => {},
  };
}

describe('progress', () => {
  it('in a pipe: one plain line a table when it ends, and a sum', async () => {
    const pipe = output(false);
    let time = 0;
    expect(await showProgress(stream(events), pipe, { now: () => (time += 1000) })).toBe(1);
    expect(pipe.lines).toEqual([
      'published  a  20 rows  4.0 KiB',
      'failed     b  the table is locked',
      '2 tables, 4.0 KiB, 819 B/s, 5 s, 1 failed',
    ]);
    expect(pipe.lines.join('')).not.toContain('\u001b');
  });

  it('for machines: every event as one JSON object a line', async () => {
    const machine = output(true);
    expect(await showProgress(stream(events.slice(0, 3)), machine)).toBe(0);
    expect(machine.lines.map((line) => JSON.parse(line) as unknown)).toEqual(events.slice(0, 3));
  });

  it('numbers are written as people read them', () => {
    expect([0, 1, 1023, 1024, 1536, 153_600, 1024 ** 3 * 5.25].map(bytesText)).toEqual([
      '0 B',
      '1 B',
      '1023 B',
      '1.0 KiB',
      '1.5 KiB',
      '150 KiB',
      '5.3 GiB',
    ]);
    expect(countText(1_234_567)).toBe('1,234,567');
    expect([0.4, 59, 60, 61, 3725, 86_400, 90_061].map(durationText)).toEqual([
      '0 s',
      '59 s',
      '1 min',
      '1 min 1 s',
      '1 h 2 min',
      '1 d',
      '1 d 1 h',
    ]);
  });

  it('status is a table of aligned columns', () => {
    const pipe = output(false);
    const publishedAt = new Date('2026-01-01T00:00:00Z');
    showStatus(
      [
        {
          id: 'long-resource-id',
          state: 'fresh',
          tier: 'exact',
          rows: 1200,
          bytes: 4096,
          publishedAt,
          note: null,
        },
        {
          id: 'b',
          state: 'failed',
          tier: null,
          rows: null,
          bytes: null,
          publishedAt: null,
          note: 'no rights',
        },
      ],
      pipe,
      new Date('2026-01-01T01:00:00Z'),
    );
    expect(pipe.lines).toEqual([
      'STATE   TABLE             ROWS   SIZE     AGE  TIER   NOTE',
      'fresh   long-resource-id  1,200  4.0 KiB  1 h  exact',
      'failed  b                                             no rights',
    ]);
  });
});
