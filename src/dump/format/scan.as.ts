/**
 * One pass over a row of CSV finds its cells and what each will need: sixteen bytes at a time are looked up in two
 * small tables (by low and by high half of the byte), and only bytes that mean something anywhere are looked at one by
 * one: comma, quote, backslash, `&`, `<`, `>`, control characters, and 0xEF, with which U+FFFE and U+FFFF begin.
 */
import {
  CELL_BYTES, COMMA, JSON_ESCAPES, QUOTE, QUOTED, TSV_QUOTES, XML_ESCAPES, cells, classes, scannedEnd,
} from './memory.as';

/** Where the row begins that was scanned last. */
export let rowStart: usize = 0;

/** A bit for each of the sixteen bytes that is special. */
// @ts-ignore: decorator
@inline
function specialBytes(block: v128): i32 {
  // Bits: 1 = 0x2?, 2 = 0x3?, 4 = 0x5?, 8 = control, 16 = 0xE?; a byte is special where both halves share one.
  const byHigh = i8x16(8, 8, 1, 2, 0, 4, 0, 0, 0, 0, 0, 0, 0, 0, 16, 0);
  const byLow = i8x16(8, 8, 9, 8, 8, 8, 9, 8, 8, 8, 8, 8, 15, 8, 10, 24);
  const half = i8x16.splat(15);
  const high = i8x16.swizzle(byHigh, v128.and(i16x8.shr_u(block, 4), half));
  const low = i8x16.swizzle(byLow, v128.and(block, half));
  return i8x16.bitmask(i8x16.ne(v128.and(high, low), i8x16.splat(0)));
}

/** Find the cells of the row in [start, end); false when they are not as many as the columns. */
export function scanRow(start: usize, end: usize): bool {
  rowStart = start;
  let cell = cells;
  let from = start;
  let seen: u32 = 0;
  let inQuotes = false;
  let closing: usize = 0;
  let doubled: usize = 0;
  for (let block = start; block < end; block += 16) {
    let hits = specialBytes(v128.load(block));
    if (end - block < 16) hits &= (1 << <i32>(end - block)) - 1;
    while (hits !== 0) {
      const at = block + <usize>ctz(hits);
      hits &= hits - 1;
      const byte = <i32>load<u8>(at);
      if (byte === COMMA) {
        if (inQuotes) continue;
        if (cell === scannedEnd) return false;
        closeCell(cell, from, seen & QUOTED ? closing : at, seen, at);
        cell += CELL_BYTES;
        from = at + 1;
        seen = 0;
      } else if (byte !== QUOTE) {
        seen |= <u32>load<u8>(classes + byte);
      } else if (!inQuotes) {
        inQuotes = true;
        seen |= QUOTED;
        from = at + 1;
      } else if (at === doubled) {
        continue;
      } else if (at + 1 < end && load<u8>(at, 1) === QUOTE) {
        doubled = at + 1;
        seen |= JSON_ESCAPES | XML_ESCAPES | TSV_QUOTES;
      } else {
        inQuotes = false;
        closing = at;
      }
    }
  }
  if (cell + CELL_BYTES !== scannedEnd || inQuotes) return false;
  closeCell(cell, from, seen & QUOTED ? closing : end, seen, end);
  return true;
}

// @ts-ignore: decorator
@inline
function closeCell(cell: usize, from: usize, to: usize, seen: u32, comma: usize): void {
  store<u32>(cell, <u32>from);
  store<u32>(cell, <u32>to, 4);
  store<u32>(cell, seen, 8);
  store<u32>(cell, <u32>comma, 12);
}
