/**
 * The formatter without Postgres, for a profiler: one chunk of messages, fed again and again.
 *
 *   npx node --cpu-prof bench/kernel-alone.ts [--type jsonb] [--format json]
 */
import { parseArgs } from 'node:util';
import { ckanProfile } from '../src/ckan/profile.ts';
import { createFormatter } from '../src/dump/format/formatter.ts';
import { formats, type Format } from '../src/format.ts';
import { copyMessages } from '../test/dump/copy-messages.ts';

const { values: flags } = parseArgs({
  options: { type: { type: 'string', default: 'jsonb' }, format: { type: 'string', multiple: true } },
});

const samples: Readonly<Record<string, (n: number) => string>> = {
  text: (n) => `Some words of a cell, number ${n}`,
  int4: (n) => String(n * 7919),
  numeric: (n) => (n / 7).toFixed(4),
  float8: (n) => String(Math.sin(n)),
  timestamp: (n) => `2020-01-02 03:04:${String(n % 60).padStart(2, '0')}.123`,
  jsonb: (n) => `{"v": ${n / 4}, "ok": true, "name": "N${n}"}`,
  _text: (n) => `["a${n}","b,c","d"]`,
};
const sample = samples[flags.type] ?? ((n: number) => String(n));
const cellsInRow = 10;
const rowsInChunk = 200;
const rounds = 1000;

const columns = Array.from({ length: cellsInRow }, (_, i) => ({
  name: `c${i}`,
  type: flags.type,
  field: {},
}));
const rows = Array.from({ length: rowsInChunk }, (_, n) =>
  columns.map((_column, i) => sample(n * cellsInRow + i)),
);
// Without CopyDone at the end.
const chunk = copyMessages(rows).subarray(0, -5);
const wanted = formats.filter((format) => flags.format?.includes(format) ?? true);

for (const side of [...wanted.map((format): readonly Format[] => [format]), wanted]) {
  const formatter = createFormatter({ columns, formats: side, profile: ckanProfile('2.12') });
  const start = process.cpuUsage();
  for (let round = 0; round < rounds; round++) formatter.feed(chunk, () => {});
  // Processor time: a busy machine counts less.
  const { user, system } = process.cpuUsage(start);
  const nanoseconds = ((user + system) * 1e3) / (rounds * rowsInChunk * cellsInRow);
  console.log(
    `${flags.type.padEnd(10)} ${side.join(',').padEnd(18)} ${nanoseconds.toFixed(1).padStart(8)} ns/cell`,
  );
}
