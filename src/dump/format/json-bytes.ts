/**
 * JSON as it stands in a large cell of Postgres's CSV: bytes in which each quote is doubled. Large cells are read where
 * they lie, a bounded stretch at a time (promise P14, flat memory). A cell without a quote holds no string, so the
 * doubling is the same for every cell.
 */
import { DumperError } from '../../errors.ts';

/** A cell between two offsets of the kernel's memory, which stays as it is until the cell is written. */
export interface JsonCell {
  readonly bytes: Buffer;
  readonly start: number;
  readonly end: number;
}

/** A quote's two bytes. */
export const quoteBytes = 2;

/** What one call may do, in bytes of text; a token counts as `tokenUnits` of them. This takes a few milliseconds. */
export const sliceUnits = 128 * 1024;
export const tokenUnits = 32;

const quote = 0x22;
const backslash = 0x5c;
/** From here on the search of the runtime is faster than a loop. */
const nearBytes = 64;

/** The offset of the quote that closes the string whose first byte stands at `start`. */
export function endOfString({ bytes, end }: JsonCell, start: number): number {
  let at = start;
  for (const near = Math.min(end, start + nearBytes); at < near;) {
    const byte = bytes[at];
    if (byte === quote) return at;
    if (byte === backslash) at += bytes[at + 1] === quote ? 1 + quoteBytes : 2;
    else at += 1;
  }
  for (let found = bytes.indexOf(quote, at); found >= 0 && found < end;) {
    let before = found;
    while (before > at && bytes[before - 1] === backslash) before -= 1;
    if ((found - before) % 2 === 0) return found;
    found = bytes.indexOf(quote, found + quoteBytes);
  }
  throw new DumperError('COPY_BROKEN', 'a string of JSON without its end');
}

/** Digits, signs, the point, letters of an exponent and of `true`, `false`, `null`. */
export function isWordByte(byte: number): boolean {
  return (
    (byte >= 0x30 && byte <= 0x39) ||
    (byte >= 0x61 && byte <= 0x7a) ||
    byte === 0x2d ||
    byte === 0x2b ||
    byte === 0x2e ||
    byte === 0x45
  );
}
