/** Rows of JSON: compact arrays, four spaces deep, a comma before every row but the first. */
import { CELL_BYTES, COMMA, cells, cellsEnd, kinds } from './memory.as';
import { writeJsonValue } from './json-value.as';
import { position, room, setPosition } from './output.as';

/** `,\n    [`, as eight bytes of which seven count. */
const ROW_START: u64 = 0x5b202020200a2c;

let isFirst: bool = true;

export function writeJsonRow(slot: i32): void {
  let out = room(slot, position(slot));
  store<u64>(out, isFirst ? ROW_START >> 8 : ROW_START);
  out += isFirst ? 6 : 7;
  isFirst = false;
  let kind = kinds;
  for (let cell = cells; cell < cellsEnd; cell += CELL_BYTES) {
    out = room(slot, out);
    if (cell !== cells) store<u8>(out++, COMMA);
    out = writeJsonValue(slot, out, cell, load<u8>(kind++));
  }
  store<u8>(out, 0x5d);
  setPosition(slot, out + 1);
}
