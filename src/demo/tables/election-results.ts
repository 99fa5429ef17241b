/** Election results: counts, shares and names of parties that hold commas, quotes and other scripts. */
import { districts } from '../city.ts';
import type { DemoTable, Row } from '../demo-table.ts';
import { createRandom } from '../random.ts';

const polling = 400;
const parties = [
  'Alliance citoyenne – "Ensemble"',
  'Harbour, Homes & Work',
  "People's List",
  'Die Grünen / I Verdi',
  'Партия прогресса',
  'ΔΗΜΟΣ 21',
  'Independents; no list',
  '<blank>',
];

export const electionResults: DemoTable = {
  id: 'f4b1c7a6-08d9-4e62-bc31-2a9e5d40f783',
  dataset: 'council-election-2025',
  title: 'Council election 2025, results by polling station',
  resourceName: 'Votes by polling station and list',
  description: 'Final results. Lists are written as on the ballot.',
  licence: 'other-pd',
  aliases: ['election-2025'],
  rowCount: polling * parties.length,
  columns: [
    { name: 'station', type: 'text', label: 'Polling station', notes: 'District and number, e.g. `007-03`.' },
    { name: 'district', type: 'text', label: 'District', notes: '' },
    { name: 'list', type: 'text', label: 'List', notes: 'As on the ballot.' },
    { name: 'eligible', type: 'int4', label: 'Eligible', notes: '' },
    { name: 'votes', type: 'int4', label: 'Votes', notes: '' },
    { name: 'share', type: 'float8', label: 'Share', notes: 'Of the eligible, 0 to 1.' },
    { name: 'counted_at', type: 'timestamp', label: 'Counted', notes: 'Local time.' },
  ],
  rows,
};

function* rows(): Generator<Row> {
  const random = createRandom(606);
  for (let station = 0; station < polling; station += 1) {
    const district = station % districts.length;
    const eligible = random.integer(600, 2400);
    const minute = String(random.integer(0, 59)).padStart(2, '0');
    for (const list of parties) {
      const votes = random.integer(0, Math.floor(eligible / parties.length));
      yield [
        `${String(district + 1).padStart(3, '0')}-${String(Math.floor(station / districts.length) + 1).padStart(2, '0')}`,
        districts[district] ?? null,
        list,
        eligible,
        votes,
        Math.round((votes / eligible) * 10_000) / 10_000,
        `2025-05-18T${random.integer(18, 23)}:${minute}:00`,
      ];
    }
  }
}
