/**
 * Texts that CKAN spells otherwise than Postgres. `timestamp` in every format: `T`, to the second (2.11) or truncated
 * to milliseconds (2.12), no era, NULL for the infinities. In all formats but CSV and TSV also `timestamptz` (`T`, offset with
 * minutes) and numbers, which Python has read and printed again. What needs a float's shortest digits is asked of the
 * host, whose floats print the same digits as Python's; the rules before that only save the call.
 */
import {
  APART, CELL_BYTES, FLOAT, NOT_A_NUMBER, NUMERIC, SCRATCH_BYTES, cellEnd, cellSeen, cellStart, cells, cellsEnd,
  milliseconds, respelled, respelledEnd, scratch, setCellText, timestamps, timestampsEnd,
} from './memory.as';

/** Write the number as Python's float prints it; its length, negative when it is none that JSON can write. */
// @ts-ignore: decorator
@external('host', 'spellFloat')
declare function spellFloat(start: usize, length: usize, out: usize): i32;

const DASH: i32 = 0x2d;
const DOT: i32 = 0x2e;
const ZERO: i32 = 0x30;
const NINE: i32 = 0x39;
const SPACE: i32 = 0x20;
const PLUS: i32 = 0x2b;
const LETTER_T: i32 = 0x54;
const LETTER_E: i32 = 0x65;
/** `HH:MM:SS` and the space before it. */
const TIME_BYTES: usize = 9;
/** Years have up to six digits: `294276-12-31 23:59:59`. What is longer is in no style we asked for, and left alone. */
const LONGEST_BYTES: usize = 28;

/** The table's `timestamp` columns, before any format is written. */
export function respellTimestamps(): void {
  for (let at = timestamps; at < timestampsEnd; at += 4) {
    const column = <usize>load<u32>(at);
    const cell = cells + column * CELL_BYTES;
    if (cellStart(cell) !== cellEnd(cell)) respellTimestamp(cell, scratch + column * SCRATCH_BYTES);
  }
}

function respellTimestamp(cell: usize, out: usize): void {
  const start = cellStart(cell);
  const end = cellEnd(cell);
  if (!isDigit(start)) return setCellText(cell, out, out);
  const space = find(start, end, SPACE);
  const length = space - start + TIME_BYTES;
  if (space + TIME_BYTES > end || length > LONGEST_BYTES) return;
  v128.store(out, v128.load(start));
  v128.store(out, v128.load(start, 16), 16);
  store<u8>(out + (space - start), LETTER_T);
  if (!milliseconds) return setCellText(cell, out, out + length);
  store<u32>(out + length, 0x3030302e);
  const fraction = start + length;
  if (fraction < end && load<u8>(fraction) === DOT) {
    for (let digit: usize = 1; digit <= 3 && fraction + digit < end && isDigit(fraction + digit); digit++) {
      store<u8>(out + length + digit, load<u8>(fraction + digit));
    }
  }
  setCellText(cell, out, out + length + 4);
}

// @ts-ignore: decorator
@inline
function isDigit(at: usize): bool {
  const byte = <i32>load<u8>(at);
  return byte >= ZERO && byte <= NINE;
}

/** The columns whose text all but CSV and TSV spell anew or take from elsewhere, when those two are written. */
export function respellValues(): void {
  for (let at = respelled; at < respelledEnd; at += 8) {
    const column = <usize>load<u32>(at);
    const spelling = load<u32>(at, 4);
    const cell = cells + column * CELL_BYTES;
    if (spelling >= APART) {
      takeApart(cell, cellsEnd + <usize>(spelling - APART) * CELL_BYTES);
      continue;
    }
    if (cellStart(cell) === cellEnd(cell)) continue;
    const out = scratch + column * SCRATCH_BYTES;
    if (spelling === NUMERIC) respellNumeric(cell, out);
    else if (spelling === FLOAT) respellFloat(cell, out);
    else respellTimestamptz(cell, out);
  }
}

/** The cell's text and what was seen in it, from the cell apart. */
function takeApart(cell: usize, apart: usize): void {
  setCellText(cell, cellStart(apart), cellEnd(apart));
  store<u32>(cell, cellSeen(apart), 8);
}

/** Integers stay as they are, at any size; with a fraction the value is a float. */
function respellNumeric(cell: usize, out: usize): void {
  const start = cellStart(cell);
  let end = cellEnd(cell);
  const digits = load<u8>(start) === DASH ? start + 1 : start;
  if (!isDigit(digits)) return markNotANumber(cell);
  const dot = find(digits, end, DOT);
  if (dot === end) return;
  while (end > dot + 2 && load<u8>(end - 1) === ZERO) end--;
  // Up to 15 digits every decimal is its float's shortest text; from 0.0001 down Python takes the exponent.
  const long = end - digits > 16;
  const tiny = end > dot + 4 && load<u8>(digits) === ZERO && (load<u32>(dot) & 0xffffff00) === 0x30303000;
  if (long || tiny) askHost(cell, out, cellEnd(cell));
  else setCellText(cell, start, end);
}

/** Postgres prints the shortest digits too; only exponents above zero look otherwise in Python. */
function respellFloat(cell: usize, out: usize): void {
  const start = cellStart(cell);
  const end = cellEnd(cell);
  const digits = load<u8>(start) === DASH ? start + 1 : start;
  if (!isDigit(digits)) return markNotANumber(cell);
  if (digits + 1 === end && digits > start && load<u8>(digits) === ZERO) return setCellText(cell, digits, end);
  const exponent = find(digits, end, LETTER_E);
  if (exponent !== end && load<u8>(exponent, 1) === PLUS) askHost(cell, out, end);
}

function askHost(cell: usize, out: usize, end: usize): void {
  const start = cellStart(cell);
  const length = spellFloat(start, end - start, out);
  if (length < 0) markNotANumber(cell);
  setCellText(cell, out, out + <usize>abs<i32>(length));
}

function markNotANumber(cell: usize): void {
  store<u32>(cell, cellSeen(cell) | NOT_A_NUMBER, 8);
}

/** Where `byte` stands first in [start, end), or `end`. */
// @ts-ignore: decorator
@inline
function find(start: usize, end: usize, byte: i32): usize {
  const wanted = i8x16.splat(<i8>byte);
  for (let at = start; at < end; at += 16) {
    const hits = i8x16.bitmask(i8x16.eq(v128.load(at), wanted));
    if (hits !== 0) return min<usize>(at + <usize>ctz(hits), end);
  }
  return end;
}

/** `2020-01-02 03:04:05.6+00` is `2020-01-02T03:04:05.6+00:00`; an era stays, the infinities too. */
function respellTimestamptz(cell: usize, out: usize): void {
  const start = cellStart(cell);
  const end = cellEnd(cell);
  if (!isDigit(start)) return;
  const space = find(start, end, SPACE);
  let offset = space + TIME_BYTES;
  while (offset < end && load<u8>(offset) !== PLUS && load<u8>(offset) !== DASH) offset++;
  if (offset >= end || end - start > LONGEST_BYTES * 2) return;
  const offsetEnd = find(offset, end, SPACE);
  memory.copy(out, start, offsetEnd - start);
  store<u8>(out + (space - start), LETTER_T);
  let at = out + (offsetEnd - start);
  if (offsetEnd - offset === 3) {
    store<u32>(at, 0x30303a);
    at += 3;
  }
  memory.copy(at, offsetEnd, end - offsetEnd);
  setCellText(cell, out, at + (end - offsetEnd));
}
