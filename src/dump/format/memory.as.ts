/**
 * The kernel's memory, laid out by `layout.ts` and told to it once by `configure`; the input moves only when it grows.
 *
 *   0 ──────────── small tables ─────────────┬──────── outputs ────────┬───── input ─────
 *   classes  escapes  kinds  respelled  cells│ one of each             │ messages of the socket,
 *   scratch  literals                        │ wanted format           │ grows with the longest row
 *
 * A cell is 16 bytes: where its text starts and ends (quotes left out, doubled quotes still doubled), what was seen in
 * it, and where the comma or line end after it stands in the row. The text may be moved to the cell's place in the
 * scratch area when it must be spelled differently; the comma stays.
 */

export const COMMA: i32 = 0x2c;
export const QUOTE: i32 = 0x22;
export const TAB: i32 = 0x09;
export const LF: i32 = 0x0a;

// What was seen in a cell.
/** It stands in quotes, so that an empty one is no NULL. */
export const QUOTED: u32 = 1;
/** Holds bytes that JSON escapes. */
export const JSON_ESCAPES: u32 = 2;
/** Holds bytes that XML escapes or does not allow. */
export const XML_ESCAPES: u32 = 4;
/** Holds a tab, quote, CR or LF: needs quotes in TSV. */
export const TSV_QUOTES: u32 = 8;
/** A number's column holds NaN or an infinity: text. */
export const NOT_A_NUMBER: u32 = 16;

// How a column's cells are written.
export const TEXT: i32 = 0;
export const NUMBER: i32 = 1;
export const BOOLEAN: i32 = 2;
export const NESTED: i32 = 3;

// How a column's text is spelled anew before it is written.
export const NUMERIC: u32 = 1;
export const FLOAT: u32 = 2;
export const TIMESTAMPTZ: u32 = 3;
/** Not spelled anew but taken from a cell apart, behind all columns: this one, or as many further as the number is above. */
export const APART: u32 = 4;

export const CELL_BYTES: usize = 16;
export const SCRATCH_BYTES: usize = 64;
/** A copy may write up to 15 bytes beyond its end; nothing longer is written without asking for room. */
export const SHORT: usize = 1024;

// Set by `configure`.
export let columns: i32 = 0;
/** A bit for each format that is written, by its slot: its place in the table of formats. */
export let wanted: u32 = 0;
export let milliseconds: bool = false;
export let idAttribute: bool = false;
export let classes: usize = 0;
export let escapes: usize = 0;
export let kinds: usize = 0;
export let timestamps: usize = 0;
export let timestampsEnd: usize = 0;
export let respelled: usize = 0;
export let respelledEnd: usize = 0;
export let cells: usize = 0;
/** Where the columns' cells end; those apart follow. */
export let cellsEnd: usize = 0;
export let scannedEnd: usize = 0;
export let scratch: usize = 0;

/** Addresses and numbers in the order of `layout.ts`. */
export function configure(
  columnCount: i32, apartCount: i32, formats: u32, withMilliseconds: bool, withIdAttribute: bool,
  classesAt: usize, escapesAt: usize, kindsAt: usize,
  timestampsAt: usize, timestampCount: usize, respelledAt: usize, respelledCount: usize,
  cellsAt: usize, scratchAt: usize,
): void {
  columns = columnCount;
  wanted = formats;
  milliseconds = withMilliseconds;
  idAttribute = withIdAttribute;
  classes = classesAt;
  escapes = escapesAt;
  kinds = kindsAt;
  timestamps = timestampsAt;
  timestampsEnd = timestampsAt + (timestampCount << 2);
  respelled = respelledAt;
  respelledEnd = respelledAt + (respelledCount << 3);
  cells = cellsAt;
  cellsEnd = cellsAt + <usize>columnCount * CELL_BYTES;
  scannedEnd = cellsEnd + <usize>apartCount * CELL_BYTES;
  scratch = scratchAt;
}

// @ts-ignore: decorator
@inline
export function cellStart(cell: usize): usize {
  return <usize>load<u32>(cell);
}

// @ts-ignore: decorator
@inline
export function cellEnd(cell: usize): usize {
  return <usize>load<u32>(cell, 4);
}

// @ts-ignore: decorator
@inline
export function cellSeen(cell: usize): u32 {
  return load<u32>(cell, 8);
}

/** Where the comma (of the last cell: the row's end) stands in the row. */
// @ts-ignore: decorator
@inline
export function cellComma(cell: usize): usize {
  return <usize>load<u32>(cell, 12);
}

// @ts-ignore: decorator
@inline
export function setCellText(cell: usize, start: usize, end: usize): void {
  store<u32>(cell, <u32>start);
  store<u32>(cell, <u32>end, 4);
}
