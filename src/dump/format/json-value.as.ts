/** A cell as a value of JSON, for every format whose values are those of CKAN's JSON. */
import {
  BOOLEAN, JSON_ESCAPES, NESTED, NOT_A_NUMBER, NUMBER, QUOTE, QUOTED, cellEnd, cellSeen, cellStart, escapes,
} from './memory.as';
import { escape } from './escape.as';
import { writeNested } from './nested.as';
import { put } from './output.as';

// @ts-ignore: decorator
@inline
export function writeJsonValue(slot: i32, out: usize, cell: usize, kind: i32): usize {
  const from = cellStart(cell);
  const end = cellEnd(cell);
  const seen = cellSeen(cell);
  if (from === end && (seen & QUOTED) === 0) {
    store<u32>(out, 0x6c6c756e); // null
    return out + 4;
  }
  if (kind === NUMBER && (seen & NOT_A_NUMBER) === 0) return put(slot, out, from, end - from);
  if (kind === BOOLEAN) return writeBoolean(out, load<u8>(from) === 0x74);
  if (kind === NESTED) return writeNested(slot, cell, out);
  store<u8>(out++, QUOTE);
  out = seen & JSON_ESCAPES ? escape(slot, out, from, end, escapes) : put(slot, out, from, end - from);
  store<u8>(out, QUOTE);
  return out + 1;
}

function writeBoolean(out: usize, value: bool): usize {
  store<u64>(out, value ? 0x65757274 : 0x65736c6166); // true, false
  return out + (value ? 4 : 5);
}
