/**
 * Rows of XML: `_id` as an attribute where it is the first column, an element for every other cell, `xsi:nil` for NULL.
 * The tags are literals (`frame.ts`): three of the row, then four of each column.
 */
import {
  BOOLEAN, CELL_BYTES, JSON_ESCAPES, NESTED, QUOTED, TEXT, XML_ESCAPES, cellEnd, cellSeen, cellStart, cells,
  cellsEnd, escapes, idAttribute, kinds,
} from './memory.as';
import { escape } from './escape.as';
import { writeNested } from './nested.as';
import { literals, position, put, room, setPosition, writeLiteral } from './output.as';

const ROW_OPEN: usize = 0;
const AFTER_ID: usize = 8;
const ROW_CLOSE: usize = 16;
const FIRST_COLUMN: usize = 24;

// Of a column's literals.
const OPEN: usize = 0;
const CLOSE: usize = 8;
const NIL: usize = 16;
const EMPTY: usize = 24;
const COLUMN_BYTES: usize = 32;

/** The XML escapes follow the 256 of JSON, those of attributes the 256 of text. */
const TEXT_ESCAPES: usize = 2048;
const ATTRIBUTE_ESCAPES: usize = 4096;

export function writeXmlRow(slot: i32): void {
  const tagsOfRow = literals(slot);
  let out = writeLiteral(room(slot, position(slot)), tagsOfRow + ROW_OPEN);
  let cell = cells;
  let kind = kinds;
  let tags = tagsOfRow + FIRST_COLUMN;
  if (idAttribute) {
    out = room(slot, writeId(slot, out, cell));
    out = writeLiteral(out, tagsOfRow + AFTER_ID);
    cell += CELL_BYTES;
    kind++;
    tags += COLUMN_BYTES;
  }
  for (; cell < cellsEnd; cell += CELL_BYTES) {
    out = writeElement(slot, room(slot, out), cell, load<u8>(kind++), tags);
    tags += COLUMN_BYTES;
  }
  out = writeLiteral(room(slot, out), tagsOfRow + ROW_CLOSE);
  setPosition(slot, out);
}

function writeId(slot: i32, out: usize, cell: usize): usize {
  const from = cellStart(cell);
  const end = cellEnd(cell);
  const seen = cellSeen(cell);
  if (seen & (JSON_ESCAPES | XML_ESCAPES)) return escape(slot, out, from, end, escapes + ATTRIBUTE_ESCAPES);
  if (from === end && (seen & QUOTED) === 0) {
    store<u32>(out, 0x656e6f4e); // None
    return out + 4;
  }
  return put(slot, out, from, end - from);
}

// @ts-ignore: decorator
@inline
function writeElement(slot: i32, out: usize, cell: usize, kind: i32, tags: usize): usize {
  const from = cellStart(cell);
  const end = cellEnd(cell);
  const seen = cellSeen(cell);
  if (from === end) return writeLiteral(out, tags + (seen & QUOTED ? EMPTY : NIL));
  if (kind === NESTED) return writeNested(slot, cell, out);
  out = writeLiteral(out, tags + OPEN);
  if (kind === BOOLEAN) out = writeBoolean(out, load<u8>(from) === 0x74);
  else if (kind === TEXT && (seen & XML_ESCAPES) !== 0) out = escape(slot, out, from, end, escapes + TEXT_ESCAPES);
  else out = put(slot, out, from, end - from);
  return writeLiteral(out, tags + CLOSE);
}

function writeBoolean(out: usize, value: bool): usize {
  store<u64>(out, value ? 0x65757254 : 0x65736c6146); // True, False
  return out + (value ? 4 : 5);
}
