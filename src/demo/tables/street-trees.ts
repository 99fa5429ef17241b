/** Street trees: names of species with apostrophes, commas and quotation marks, as botanists write cultivars. */
import { districts, streets } from '../city.ts';
import type { DemoTable, Row } from '../demo-table.ts';
import { createRandom, decimal } from '../random.ts';

const rowCount = 6000;
const species = [
  ["Acer platanoides 'Crimson King'", 'Norway maple, purple'],
  ["Prunus serrulata 'Kanzan'", 'Japanese cherry'],
  ['Platanus × hispanica', 'London plane'],
  ['Tilia cordata Mill.', 'Small-leaved lime, "linden"'],
  ['Quercus robur L., var. fastigiata', "Cypress oak, 'upright'"],
  ['Ginkgo biloba', 'Maidenhair tree (male clone)'],
  ["Malus 'Evereste'", 'Crab apple'],
  ['Sophora japonica → Styphnolobium japonicum', 'Pagoda tree'],
  ['Ulmus "New Horizon"', 'Elm, resistant to Dutch elm disease'],
  ['Cercis siliquastrum', 'Judas-tree; arbre de Judée'],
] as const;
const conditions = ['good', 'fair', 'poor', 'felled', null] as const;

export const streetTrees: DemoTable = {
  id: 'd17f6b20-53ce-4a9b-b0e8-3c5a1f9e7d42',
  dataset: 'street-trees',
  title: 'Street trees of Marenza',
  resourceName: 'Tree register',
  description: 'Trees on public ground, as the parks department keeps them.',
  licence: 'cc-zero',
  aliases: ['trees'],
  rowCount,
  columns: [
    { name: 'tree_no', type: 'text', label: 'Tree number', notes: 'As on the tag: district, dash, number.' },
    { name: 'species', type: 'text', label: 'Species', notes: "Latin name; a cultivar's name in quotes." },
    { name: 'common_name', type: 'text', label: 'Common name', notes: '' },
    { name: 'address', type: 'text', label: 'Address', notes: 'Street, number.' },
    { name: 'district', type: 'text', label: 'District', notes: '' },
    { name: 'planted', type: 'int4', label: 'Planted', notes: 'Year; empty when unknown.' },
    { name: 'height_m', type: 'numeric', label: 'Height', notes: 'Metres.' },
    { name: 'girth_cm', type: 'int4', label: 'Girth', notes: 'Centimetres at 1.3 m.' },
    { name: 'condition', type: 'text', label: 'Condition', notes: '' },
  ],
  rows,
};

function* rows(): Generator<Row> {
  const random = createRandom(303);
  for (let number = 1; number <= rowCount; number += 1) {
    const [latin, common] = random.pick(species);
    const district = random.integer(0, districts.length - 1);
    const age = random.integer(0, 140);
    yield [
      `${String(district + 1).padStart(2, '0')}-${String(number).padStart(6, '0')}`,
      latin,
      common,
      `${random.pick(streets)}, ${random.integer(1, 180)}`,
      districts[district] ?? null,
      random.oneIn(12) ? null : 2025 - age,
      decimal(25 + age * 2 + random.integer(0, 40), 1),
      12 + age * 2 + random.integer(0, 30),
      random.pick(conditions),
    ];
  }
}
