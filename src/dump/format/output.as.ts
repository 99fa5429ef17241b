/**
 * The outputs: one buffer a format, handed to the host whenever it is full and at the end of each input. A long run of
 * bytes that needs no change goes to the host straight from the input, so that a cell of any size needs no more memory.
 */
import { SHORT } from './memory.as';

/** The host takes finished bytes of a format; they are its own only during the call. */
// @ts-ignore: decorator
@external('host', 'emit')
declare function emit(format: i32, start: usize, length: usize): void;

/** From this length on a run is not copied. */
const LONG: usize = 32768;

// Start, position and limit of each output, by slot; beyond the limit is room for SHORT and a literal or two.
const outputs: usize = memory.data(48, 16);

export function configureOutput(format: i32, start: usize, limit: usize): void {
  const output = outputs + <usize>format * 12;
  store<u32>(output, <u32>start);
  store<u32>(output, <u32>start, 4);
  store<u32>(output, <u32>limit, 8);
}

// @ts-ignore: decorator
@inline
export function position(format: i32): usize {
  return <usize>load<u32>(outputs + <usize>format * 12, 4);
}

// @ts-ignore: decorator
@inline
export function setPosition(format: i32, out: usize): void {
  store<u32>(outputs + <usize>format * 12, <u32>out, 4);
}

/** Hand over what is written up to `out`; returns where writing goes on. */
export function drain(format: i32, out: usize): usize {
  const start = <usize>load<u32>(outputs + <usize>format * 12);
  if (out > start) emit(format, start, out - start);
  setPosition(format, start);
  return start;
}

/** Make sure that SHORT bytes and the literals around them fit. */
// @ts-ignore: decorator
@inline
export function room(format: i32, out: usize): usize {
  return out > <usize>load<u32>(outputs + <usize>format * 12, 8) ? drain(format, out) : out;
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
export function put(format: i32, out: usize, from: usize, length: usize): usize {
  return length <= SHORT ? copy(out, from, length) : putLong(format, out, from, length);
}

function putLong(format: i32, out: usize, from: usize, length: usize): usize {
  if (length >= LONG) {
    const start = drain(format, out);
    emit(format, from, length);
    return start;
  }
  const limit = <usize>load<u32>(outputs + <usize>format * 12, 8);
  const begin = out + length > limit ? drain(format, out) : out;
  memory.copy(begin, from, length);
  return room(format, begin + length);
}
