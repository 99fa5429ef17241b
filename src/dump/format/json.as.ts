/** Rows of JSON: compact arrays, four spaces deep, a comma before every row but the first. */
import {
  BOOLEAN, CELL_BYTES, COMMA, JSON, JSON_ESCAPES, NESTED, NOT_A_NUMBER, NUMBER, QUOTE, QUOTED, cellEnd, cellSeen,
  cellStart, cells, cellsEnd, escapes, kinds,
} from './memory.as';
import { escape } from './escape.as';
import { writeNested } from './nested.as';
import { position, put, room, setPosition } from './output.as';

/** `,\n    [`, as eight bytes of which seven count. */
const ROW_START: u64 = 0x5b202020200a2c;

let isFirst: bool = true;

export function writeJsonRow(): void {
  let out = room(JSON, position(JSON));
  store<u64>(out, isFirst ? ROW_START >> 8 : ROW_START);
  out += isFirst ? 6 : 7;
  isFirst = false;
  let kind = kinds;
  for (let cell = cells; cell < cellsEnd; cell += CELL_BYTES) {
    out = room(JSON, out);
    if (cell !== cells) store<u8>(out++, COMMA);
    out = writeCell(out, cell, load<u8>(kind++));
  }
  store<u8>(out, 0x5d);
  setPosition(JSON, out + 1);
}

// @ts-ignore: decorator
@inline
function writeCell(out: usize, cell: usize, kind: i32): usize {
  const from = cellStart(cell);
  const end = cellEnd(cell);
  const seen = cellSeen(cell);
  if (from === end && (seen & QUOTED) === 0) {
    store<u32>(out, 0x6c6c756e); // null
    return out + 4;
  }
  if (kind === NUMBER && (seen & NOT_A_NUMBER) === 0) return put(JSON, out, from, end - from);
  if (kind === BOOLEAN) return writeBoolean(out, load<u8>(from) === 0x74);
  if (kind === NESTED) return writeNested(JSON, cell, out);
  store<u8>(out++, QUOTE);
  out = seen & JSON_ESCAPES ? escape(JSON, out, from, end, escapes) : put(JSON, out, from, end - from);
  store<u8>(out, QUOTE);
  return out + 1;
}

function writeBoolean(out: usize, value: bool): usize {
  store<u64>(out, value ? 0x65757274 : 0x65736c6166); // true, false
  return out + (value ? 4 : 5);
}
