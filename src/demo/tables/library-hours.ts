/** Opening hours of libraries: JSON and lists of text in cells. */
import { districts, streets } from '../city.ts';
import type { DemoTable, JsonObject, Row } from '../demo-table.ts';
import { createRandom, type Random } from '../random.ts';

const rowCount = 2000;
const days = ['mon', 'tue', 'wed', 'thu', 'fri', 'sat', 'sun'];
const services = [
  'Wi-Fi',
  'café',
  'children’s corner',
  'maker space, "open lab"',
  'prêt de tablettes',
  'podcast\\studio',
];

export const libraryHours: DemoTable = {
  id: '8e2a4b6c-9d10-4f37-a5c2-6f08d3b71e95',
  dataset: 'library-opening-hours',
  title: 'Opening hours of the libraries of Marenza',
  resourceName: 'Opening hours by branch and week',
  description: 'One row per branch and week of the year; `hours` is JSON by day of the week.',
  licence: 'cc-zero',
  aliases: ['libraries'],
  rowCount,
  columns: [
    { name: 'branch', type: 'text', label: 'Branch', notes: '' },
    { name: 'address', type: 'text', label: 'Address', notes: '' },
    { name: 'week', type: 'int4', label: 'Week', notes: 'ISO 8601.' },
    { name: 'hours', type: 'json', label: 'Hours', notes: 'By day: a list of spans, or null when closed.' },
    { name: 'services', type: '_text', label: 'Services', notes: '' },
    { name: 'self_service', type: 'bool', label: 'Self-service', notes: 'Open without staff.' },
    { name: 'phone', type: 'text', label: 'Phone', notes: '' },
  ],
  rows,
};

function* rows(): Generator<Row> {
  const random = createRandom(505);
  const branches = Array.from({ length: Math.ceil(rowCount / 50) }, (_, number) => ({
    name: `${districts[number % districts.length]} library ${number + 1}`,
    address: `${random.pick(streets)} ${random.integer(1, 99)}`,
    services: services.filter(() => random.oneIn(2)),
    phone: `+00 ${String(random.integer(0, 9_999_999)).padStart(7, '0')}`,
  }));
  for (let number = 0; number < rowCount; number += 1) {
    const branch = branches[Math.floor(number / 50)];
    if (branch === undefined) return;
    yield [
      branch.name,
      branch.address,
      (number % 50) + 1,
      hours(random),
      branch.services,
      random.oneIn(4),
      random.oneIn(10) ? null : branch.phone,
    ];
  }
}

function hours(random: Random): JsonObject {
  const spans = (day: string): readonly string[] | null => {
    if (day === 'sun' || random.oneIn(9)) return null;
    return random.oneIn(3) ? ['09:00–12:30', '14:00–18:00'] : ['10:00–19:00'];
  };
  return Object.fromEntries(days.map((day) => [day, spans(day)]));
}
