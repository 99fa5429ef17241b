/** Bus stops: accents and apostrophes, coordinates, booleans. */
import { corner, districts, streets } from '../city.ts';
import type { DemoTable, Row } from '../demo-table.ts';
import { createRandom, decimal } from '../random.ts';

const rowCount = 2400;
const places = [
  'Gare centrale',
  'Ospedale',
  'Bibliothèque',
  'Schule',
  'Mercado',
  'Église',
  'Stadion',
  'Museet',
  'Fährhafen',
];

export const busStops: DemoTable = {
  id: '5b0d8f3e-2f6a-4c1d-9a57-1e0c6f4d7a11',
  dataset: 'bus-stops',
  title: 'Bus stops of Marenza',
  resourceName: 'Bus stops, WGS 84',
  description: 'Every stop that is served at least once a week. **Stop codes keep their leading zeros.**',
  licence: 'odc-odbl',
  aliases: ['bus-stops'],
  rowCount,
  columns: [
    { name: 'stop_code', type: 'text', label: 'Stop code', notes: 'Five digits, as on the pole.' },
    { name: 'stop_name', type: 'text', label: 'Name', notes: '' },
    { name: 'district', type: 'text', label: 'District', notes: '' },
    { name: 'latitude', type: 'numeric', label: 'Latitude', notes: 'Degrees north, WGS 84.' },
    { name: 'longitude', type: 'numeric', label: 'Longitude', notes: 'Degrees east, WGS 84.' },
    { name: 'wheelchair', type: 'bool', label: 'Step-free', notes: 'Empty: not surveyed yet.' },
    { name: 'shelter', type: 'bool', label: 'Shelter', notes: '' },
    { name: 'lines', type: '_text', label: 'Lines', notes: 'In the order of the timetable.' },
    { name: 'opened', type: 'date', label: 'In service since', notes: '' },
  ],
  rows,
};

function* rows(): Generator<Row> {
  const random = createRandom(101);
  for (let number = 1; number <= rowCount; number += 1) {
    const street = random.pick(streets);
    yield [
      String(number * 7).padStart(5, '0'),
      random.oneIn(3) ? `${random.pick(places)} / ${street}` : `${street} ${random.integer(1, 240)}`,
      random.pick(districts),
      decimal(corner.latitude + random.integer(0, 160_000), 6),
      decimal(corner.longitude + random.integer(0, 210_000), 6),
      random.oneIn(9) ? null : random.oneIn(2),
      random.oneIn(3),
      Array.from({ length: random.integer(1, 4) }, () => random.pick(['1', '2', '14', '27A', 'N3', '101'])),
      `${random.integer(1958, 2025)}-${twoDigits(random.integer(1, 12))}-${twoDigits(random.integer(1, 28))}`,
    ];
  }
}

function twoDigits(value: number): string {
  return String(value).padStart(2, '0');
}
