/** Air quality: the large table, an hourly value of each station, with gaps where an instrument was away. */
import type { DemoTable, Row } from '../demo-table.ts';
import { createRandom, decimal } from '../random.ts';

const stations = [
  'Port-Évêque',
  'Altstadt',
  "L'Isola",
  'Nørrebakke',
  'Çarşı',
  'Airport',
  'Ring road, km 4',
  'Škofja vas',
];
const hours = 25_000;
const rowCount = stations.length * hours;
const firstHour = Date.UTC(2023, 0, 1);
/** Share of the day's traffic in hundredths, by hour. */
const traffic = [
  20, 14, 10, 9, 12, 28, 62, 95, 100, 78, 66, 64, 66, 65, 68, 78, 92, 98, 84, 62, 48, 40, 34, 27,
];
const remarks = ['calibration', 'power cut', 'wildfire smoke', 'fireworks; see report', 'Saharan dust'];

export const airQuality: DemoTable = {
  id: 'a3c9e1d4-7b58-4e0f-8d26-90f4b7c2e5a8',
  dataset: 'air-quality',
  title: 'Air quality in Marenza, hourly',
  resourceName: 'Hourly measurements since 2023',
  description: 'Validated hourly means of eight stations. An empty cell is a measurement that is missing.',
  licence: 'cc-by',
  aliases: ['air-quality-hourly'],
  rowCount,
  columns: [
    { name: 'measured_at', type: 'timestamp', label: 'Hour', notes: 'Begin of the hour, UTC.' },
    { name: 'station', type: 'text', label: 'Station', notes: '' },
    { name: 'no2', type: 'numeric', label: 'NO₂', notes: 'Nitrogen dioxide, µg/m³.' },
    { name: 'pm10', type: 'numeric', label: 'PM₁₀', notes: 'Particles below 10 µm, µg/m³.' },
    { name: 'temperature', type: 'numeric', label: 'Temperature', notes: '°C at 2 m.' },
    { name: 'remark', type: 'text', label: 'Remark', notes: 'Why a value is missing or unusual.' },
  ],
  rows,
};

function* rows(): Generator<Row> {
  const random = createRandom(202);
  for (let hour = 0; hour < hours; hour += 1) {
    const measuredAt = new Date(firstHour + hour * 3_600_000).toISOString().slice(0, 19);
    const busy = traffic[hour % 24] ?? 0;
    const summer = 183 - Math.abs((Math.floor(hour / 24) % 365) - 183);
    for (const station of stations) {
      const away = random.oneIn(60);
      yield [
        measuredAt,
        station,
        away ? null : decimal(40 + busy * 3 + random.integer(0, 150), 1),
        away || random.oneIn(80) ? null : decimal(60 + busy + random.integer(0, 200), 1),
        decimal(summer - 35 + random.integer(-40, 60), 1),
        away || random.oneIn(200) ? random.pick(remarks) : null,
      ];
    }
  }
}
