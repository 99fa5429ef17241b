/** Rows of NDJSON: an object a line. Its keys are literals (`frame.ts`), `{"_id":` and then `,"name":` of each column. */
import { CELL_BYTES, cells, cellsEnd, kinds } from './memory.as';
import { writeJsonValue } from './json-value.as';
import { LITERAL_BYTES, literals, position, room, setPosition, writeLiteral } from './output.as';

/** `}` and the end of the line. */
const ROW_END: u16 = 0x0a7d;

export function writeNdjsonRow(slot: i32): void {
  let out = position(slot);
  let kind = kinds;
  let key = literals(slot);
  for (let cell = cells; cell < cellsEnd; cell += CELL_BYTES) {
    out = writeLiteral(room(slot, out), key);
    out = writeJsonValue(slot, out, cell, load<u8>(kind++));
    key += LITERAL_BYTES;
  }
  store<u16>(out, ROW_END);
  setPosition(slot, out + 2);
}
