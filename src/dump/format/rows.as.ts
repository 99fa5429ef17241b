/** The scanned row in each format that is wanted. Generated of the table of formats (`npm run generate`). */
import { wanted } from './memory.as';
import { respellValues } from './respell.as';
import { writeCsvRow } from './csv.as';
import { writeTsvRow } from './tsv.as';
import { writeJsonRow } from './json.as';
import { writeXmlRow } from './xml.as';
import { writeNdjsonRow } from './ndjson.as';

export const slots: i32 = 5;

export function writeRow(): void {
  if (wanted & (1 << 0)) writeCsvRow(0);
  if (wanted & (1 << 1)) writeTsvRow(1);
  if (wanted & 0b11100) respellValues();
  if (wanted & (1 << 2)) writeJsonRow(2);
  if (wanted & (1 << 3)) writeXmlRow(3);
  if (wanted & (1 << 4)) writeNdjsonRow(4);
}
