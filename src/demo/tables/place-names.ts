/**
 * Place names: what breaks a careless CSV writer. Scripts from right to left, ideographs, emoji, line feeds, tabs,
 * semicolons, quotes, spaces at the ends, leading zeros, and text that a spreadsheet would take for a formula.
 */
import { districts } from '../city.ts';
import type { DemoTable, Row } from '../demo-table.ts';
import { createRandom } from '../random.ts';

const rowCount = 3000;
const kinds = [
  ['Harbour', 'ميناء', '港口', 'Λιμάνι', 'Порт', '⚓'],
  ['Old bridge', 'الجسر القديم', '古橋', 'Παλιά γέφυρα', 'Старый мост', '🌉'],
  ['Cherry hill', 'تل الكرز', '桜の丘', 'Λόφος κερασιών', 'Вишнёвый холм', '🌸'],
  ["Fisher's quay", 'رصيف الصيادين', '漁師埠頭', 'Προβλήτα ψαράδων', 'Рыбацкая набережная', '🐟🎣'],
  ['Market "square"', 'ساحة السوق', '市場廣場', 'Πλατεία αγοράς', 'Рыночная площадь', '🧑‍🌾'],
  ['Observatory', 'مرصد', '天文台', 'Αστεροσκοπείο', 'Обсерватория', '🔭'],
] as const;
const notes = [
  'First line\nsecond line',
  'two;semicolons;here',
  'tab\there, and a comma',
  '=1+1',
  ' spaces at both ends ',
  'say "ah", it\'s <b>bold</b> & true',
  'back\\slash \\n is not a line feed',
  'Windows line\r\nend',
  'e\u0301 is not é',
  'NULL',
  '',
  null,
] as const;

export const placeNames: DemoTable = {
  id: '2d9a5e73-c4f8-4b06-8e1a-f57c0b36d9e4',
  dataset: 'place-names',
  title: 'Place names of Marenza in five languages',
  resourceName: 'Gazetteer',
  description: 'Official and customary names. Columns follow the keys of OpenStreetMap.',
  licence: 'odc-odbl',
  aliases: ['gazetteer'],
  rowCount,
  columns: [
    { name: 'place_id', type: 'text', label: 'Id', notes: 'Six digits; leading zeros count.' },
    { name: 'name', type: 'text', label: 'Name', notes: '' },
    { name: 'name:ar', type: 'text', label: 'الاسم', notes: 'Arabic' },
    { name: 'name:zh', type: 'text', label: '名稱', notes: 'Chinese or Japanese' },
    { name: 'name:el', type: 'text', label: 'Όνομα', notes: 'Greek' },
    { name: 'name:ru', type: 'text', label: 'Название', notes: 'Russian' },
    { name: 'symbol', type: 'text', label: 'Symbol', notes: 'Emoji 😀' },
    { name: 'district', type: 'text', label: 'District', notes: '' },
    { name: 'note', type: 'text', label: 'Note', notes: 'Free text;\nmay have several lines.' },
  ],
  rows,
};

function* rows(): Generator<Row> {
  const random = createRandom(707);
  for (let number = 1; number <= rowCount; number += 1) {
    const [name, arabic, chinese, greek, russian, symbol] = random.pick(kinds);
    yield [
      String(number).padStart(6, '0'),
      `${name} ${number}`,
      random.oneIn(7) ? null : `${arabic} ${number}`,
      chinese,
      greek,
      russian,
      symbol,
      random.pick(districts),
      random.pick(notes),
    ];
  }
}
