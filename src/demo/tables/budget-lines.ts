/** Budget lines: amounts with sign and cents, beside the text that finance departments print, thousands and all. */
import type { DemoTable, Row } from '../demo-table.ts';
import { createRandom, decimal } from '../random.ts';

const rowCount = 4000;
const departments = [
  'Schools & libraries',
  'Roads; bridges',
  'Police',
  'Parks',
  'Debt service',
  'Culture, sports',
];
const kinds = ['Personnel', 'Goods', 'Grants', 'Fees', 'Refunds "prior years"', 'Interest'];

export const budgetLines: DemoTable = {
  id: '0c84e7f9-61ab-4d53-92fe-7b3d5a0f18c6',
  dataset: 'budget',
  title: 'Budget of the city of Marenza',
  resourceName: 'Budget lines 2022–2026',
  description: 'Planned and actual amounts. Revenue is positive, expenditure negative.',
  licence: 'cc-by',
  aliases: ['budget-lines'],
  rowCount,
  columns: [
    { name: 'year', type: 'int4', label: 'Year', notes: '' },
    { name: 'account', type: 'text', label: 'Account', notes: 'Eight digits; leading zeros count.' },
    { name: 'department', type: 'text', label: 'Department', notes: '' },
    { name: 'kind', type: 'text', label: 'Kind', notes: '' },
    { name: 'planned', type: 'numeric', label: 'Planned', notes: 'Euro.' },
    { name: 'actual', type: 'numeric', label: 'Actual', notes: 'Euro; empty until the year is closed.' },
    { name: 'printed', type: 'text', label: 'As printed', notes: 'The amount as in the printed budget.' },
    { name: 'change', type: 'float8', label: 'Change', notes: 'To the year before, as a share.' },
  ],
  rows,
};

function* rows(): Generator<Row> {
  const random = createRandom(404);
  for (let number = 0; number < rowCount; number += 1) {
    const year = 2022 + (number % 5);
    const cents = random.integer(-900_000_000, 450_000_000);
    yield [
      year,
      String(1_000_000 + Math.floor(number / 5) * 137).padStart(8, '0'),
      random.pick(departments),
      random.pick(kinds),
      decimal(cents, 2),
      year > 2024 ? null : decimal(cents + random.integer(-9_000_000, 9_000_000), 2),
      printed(cents),
      random.oneIn(15) ? null : random.integer(-500, 500) / 1000,
    ];
  }
}

/** `-1234567` cents are `−12,345.67`, with the minus sign of typography. */
function printed(cents: number): string {
  const [whole = '', fraction = ''] = decimal(Math.abs(cents), 2).split('.');
  return `${cents < 0 ? '−' : ''}${whole.replaceAll(/\B(?=(\d{3})+$)/g, ',')}.${fraction} €`;
}
