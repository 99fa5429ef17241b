/** Rows of CSV: Postgres's own row, copied whole but for respelled timestamps. */
import { CELL_BYTES, LF, cellComma, cellEnd, cellStart, cells, cellsEnd, timestamps, timestampsEnd } from './memory.as';
import { copy, position, put, room, setPosition } from './output.as';
import { rowStart } from './scan.as';

export function writeCsvRow(slot: i32): void {
  let out = room(slot, position(slot));
  let from = rowStart;
  const end = cellComma(cellsEnd - CELL_BYTES);
  for (let at = timestamps; at < timestampsEnd; at += 4) {
    const cell = cells + <usize>load<u32>(at) * CELL_BYTES;
    const raw = cell === cells ? rowStart : cellComma(cell - CELL_BYTES) + 1;
    out = room(slot, put(slot, out, from, raw - from));
    out = copy(out, cellStart(cell), cellEnd(cell) - cellStart(cell));
    from = cellComma(cell);
  }
  out = put(slot, out, from, end - from);
  store<u8>(out, LF);
  setPosition(slot, out + 1);
}
