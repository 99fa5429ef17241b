/**
 * Rows of TSV: the quoting rule of Postgres's CSV with a tab for the comma (Postgres, COPY, "CSV Format"): quotes around
 * what holds a tab, a quote or a line break, around an empty text that is no NULL, and around `\.` alone in its row.
 */
import {
  CELL_BYTES, LF, QUOTE, QUOTED, TAB, TSV_QUOTES, cellEnd, cellSeen, cellStart, cells, cellsEnd, columns,
} from './memory.as';
import { position, put, room, setPosition } from './output.as';

export function writeTsvRow(slot: i32): void {
  let out = position(slot);
  for (let cell = cells; cell < cellsEnd; cell += CELL_BYTES) {
    out = room(slot, out);
    if (cell !== cells) store<u8>(out++, TAB);
    const from = cellStart(cell);
    const length = cellEnd(cell) - from;
    if (needsQuotes(cellSeen(cell), from, length)) {
      store<u8>(out++, QUOTE);
      out = put(slot, out, from, length);
      store<u8>(out++, QUOTE);
    } else {
      out = put(slot, out, from, length);
    }
  }
  store<u8>(out, LF);
  setPosition(slot, out + 1);
}

// @ts-ignore: decorator
@inline
function needsQuotes(seen: u32, from: usize, length: usize): bool {
  if ((seen & (QUOTED | TSV_QUOTES)) === 0) return false;
  if ((seen & TSV_QUOTES) !== 0 || length === 0) return true;
  return columns === 1 && length === 2 && load<u16>(from) === 0x2e5c;
}
