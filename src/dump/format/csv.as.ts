/**
 * Rows of CSV and TSV. CSV is Postgres's own row, copied whole but for respelled timestamps. TSV is the same quoting
 * rule with a tab for the comma (Postgres, COPY, "CSV Format"): quotes around what holds a tab, a quote or a line
 * break, around an empty text that is no NULL, and around `\.` alone in its row.
 */
import {
  CELL_BYTES, CSV, LF, QUOTE, QUOTED, TAB, TSV, TSV_QUOTES, cellComma, cellEnd, cellSeen, cellStart, cells, cellsEnd,
  columns, timestamps, timestampsEnd,
} from './memory.as';
import { copy, position, put, room, setPosition } from './output.as';

export function writeCsvRow(start: usize, end: usize): void {
  let out = room(CSV, position(CSV));
  let from = start;
  for (let at = timestamps; at < timestampsEnd; at += 4) {
    const cell = cells + <usize>load<u32>(at) * CELL_BYTES;
    const raw = cell === cells ? start : cellComma(cell - CELL_BYTES) + 1;
    out = room(CSV, put(CSV, out, from, raw - from));
    out = copy(out, cellStart(cell), cellEnd(cell) - cellStart(cell));
    from = cellComma(cell);
  }
  out = put(CSV, out, from, end - from);
  store<u8>(out, LF);
  setPosition(CSV, out + 1);
}

export function writeTsvRow(): void {
  let out = position(TSV);
  for (let cell = cells; cell < cellsEnd; cell += CELL_BYTES) {
    out = room(TSV, out);
    if (cell !== cells) store<u8>(out++, TAB);
    const from = cellStart(cell);
    const length = cellEnd(cell) - from;
    if (needsQuotes(cellSeen(cell), from, length)) {
      store<u8>(out++, QUOTE);
      out = put(TSV, out, from, length);
      store<u8>(out++, QUOTE);
    } else {
      out = put(TSV, out, from, length);
    }
  }
  store<u8>(out, LF);
  setPosition(TSV, out + 1);
}

// @ts-ignore: decorator
@inline
function needsQuotes(seen: u32, from: usize, length: usize): bool {
  if ((seen & (QUOTED | TSV_QUOTES)) === 0) return false;
  if ((seen & TSV_QUOTES) !== 0 || length === 0) return true;
  return columns === 1 && length === 2 && load<u16>(from) === 0x2e5c;
}
