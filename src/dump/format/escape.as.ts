/**
 * Escaping, sixteen bytes at a time: copy them all, go on behind the first that needs an escape, write its escape.
 * An escape is eight bytes of a table: its text, and its length in the last. Text of a quoted cell has its quotes
 * doubled, so a quote is read as two.
 */
import { QUOTE, escapes } from './memory.as';
import { room } from './output.as';

/** The first byte of U+FFFE and U+FFFF (EF BF BE, EF BF BF), which XML does not allow, and of much that it does. */
const NONCHARACTER_LEAD: i32 = 0xef;
/** U+FFFD, the replacement character, in UTF-8. */
const REPLACEMENT: u32 = 0xbdbfef;

/** Write the text of [from, end) with the escapes of `table`; asks for room itself. */
export function escape(slot: i32, out: usize, from: usize, end: usize, table: usize): usize {
  // JSON's table is the first.
  const ofJson = table === escapes;
  while (from < end) {
    out = room(slot, out);
    const block = v128.load(from);
    v128.store(out, block);
    let hits = ofJson ? jsonSpecials(block) : xmlSpecials(block);
    if (end - from < 16) hits |= 1 << <i32>(end - from);
    const run: usize = hits === 0 ? 16 : <usize>ctz(hits);
    from += run;
    out += run;
    if (hits === 0 || from >= end) continue;
    const byte = <i32>load<u8>(from);
    if (byte === NONCHARACTER_LEAD) {
      const isBad = (load<u32>(from) & 0xfeffff) === 0xbebfef;
      store<u32>(out, isBad ? REPLACEMENT : NONCHARACTER_LEAD);
      out += isBad ? 3 : 1;
      from += isBad ? 3 : 1;
    } else {
      const text = load<u64>(table + (<usize>byte << 3));
      store<u64>(out, text);
      out += <usize>(text >> 56);
      from += byte === QUOTE ? 2 : 1;
    }
  }
  return room(slot, out);
}

// @ts-ignore: decorator
@inline
function jsonSpecials(block: v128): i32 {
  const control = i8x16.lt_u(block, i8x16.splat(0x20));
  const quote = i8x16.eq(block, i8x16.splat(0x22));
  const backslash = i8x16.eq(block, i8x16.splat(0x5c));
  return i8x16.bitmask(v128.or(control, v128.or(quote, backslash)));
}

// @ts-ignore: decorator
@inline
function xmlSpecials(block: v128): i32 {
  const control = i8x16.lt_u(block, i8x16.splat(0x20));
  const quote = i8x16.eq(block, i8x16.splat(0x22));
  const ampersand = i8x16.eq(block, i8x16.splat(0x26));
  // 0x3c and 0x3e, `<` and `>`, differ in one bit.
  const angle = i8x16.eq(v128.and(block, i8x16.splat(<i8>0xfd)), i8x16.splat(0x3c));
  const lead = i8x16.eq(block, i8x16.splat(<i8>0xef));
  return i8x16.bitmask(v128.or(v128.or(control, quote), v128.or(v128.or(ampersand, angle), lead)));
}
