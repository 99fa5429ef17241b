/**
 * The outputs: one buffer a format, handed to the host whenever it is full and at the end of each input. A long run of
 * bytes that needs no change goes to the host straight from the input, so that a cell of any size needs no more memory.
 */
import { SHORT } from './memory.as';

/** The host takes finished bytes of a format; they are its own only during the call. */
// @ts-ignore: decorator
@external('host', 'emit')
declare function emit(slot: i32, start: usize, length: usize): void;

/** From this length on a run is not copied. */
const LONG: usize = 32768;

// Start, position, limit and literals of each output, by slot: as many as `wanted` has bits. Beyond the limit is room
// for SHORT and a literal or two.
const outputs: usize = memory.data(512, 16);
const OUTPUT_BYTES: usize = 16;
/** A literal is the address and the length of its text. */
export const LITERAL_BYTES: usize = 8;

export function configureOutput(slot: i32, start: usize, limit: usize, literalsAt: usize): void {
  const output = outputs + <usize>slot * OUTPUT_BYTES;
  store<u32>(output, <u32>start);
  store<u32>(output, <u32>start, 4);
  store<u32>(output, <u32>limit, 8);
  store<u32>(output, <u32>literalsAt, 12);
}

/** The texts that stand around the cells of a format, as `frame.ts` lists them. */
// @ts-ignore: decorator
@inline
export function literals(slot: i32): usize {
  return <usize>load<u32>(outputs + <usize>slot * OUTPUT_BYTES, 12);
}

/** For which there is room beside SHORT. */
// @ts-ignore: decorator
@inline
export function writeLiteral(out: usize, literal: usize): usize {
  return copy(out, <usize>load<u32>(literal), <usize>load<u32>(literal, 4));
}

// @ts-ignore: decorator
@inline
export function position(slot: i32): usize {
  return <usize>load<u32>(outputs + <usize>slot * OUTPUT_BYTES, 4);
}

// @ts-ignore: decorator
@inline
export function setPosition(slot: i32, out: usize): void {
  store<u32>(outputs + <usize>slot * OUTPUT_BYTES, <u32>out, 4);
}

/** Hand over what is written up to `out`; returns where writing goes on. */
export function drain(slot: i32, out: usize): usize {
  const start = <usize>load<u32>(outputs + <usize>slot * OUTPUT_BYTES);
  if (out > start) emit(slot, start, out - start);
  setPosition(slot, start);
  return start;
}

/** Make sure that SHORT bytes and the literals around them fit. */
// @ts-ignore: decorator
@inline
export function room(slot: i32, out: usize): usize {
  return out > <usize>load<u32>(outputs + <usize>slot * OUTPUT_BYTES, 8) ? drain(slot, out) : out;
}

/** Copy at most SHORT bytes, for which there is room. */
// @ts-ignore: decorator
@inline
export function copy(out: usize, from: usize, length: usize): usize {
  if (length <= 16) {
    v128.store(out, v128.load(from));
    return out + length;
  }
  return copyBlocks(out, from, length);
}

function copyBlocks(out: usize, from: usize, length: usize): usize {
  if (length > 256) {
    memory.copy(out, from, length);
    return out + length;
  }
  let done: usize = 0;
  do {
    v128.store(out + done, v128.load(from + done));
    done += 16;
  } while (done < length);
  return out + length;
}

/** Copy a run of any length. */
// @ts-ignore: decorator
@inline
export function put(slot: i32, out: usize, from: usize, length: usize): usize {
  return length <= SHORT ? copy(out, from, length) : putLong(slot, out, from, length);
}

function putLong(slot: i32, out: usize, from: usize, length: usize): usize {
  if (length >= LONG) {
    const start = drain(slot, out);
    emit(slot, from, length);
    return start;
  }
  const limit = <usize>load<u32>(outputs + <usize>slot * OUTPUT_BYTES, 8);
  const begin = out + length > limit ? drain(slot, out) : out;
  memory.copy(begin, from, length);
  return room(slot, begin + length);
}
