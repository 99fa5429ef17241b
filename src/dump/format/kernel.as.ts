/**
 * The kernel: Postgres's messages in, every wanted format out, in one scan and without an object a row.
 *
 * The host puts the socket's bytes into the input and calls `run`. Of each CopyData message, which holds one row of
 * CSV, `scan` finds the cells; `respell` moves those that CKAN prints otherwise than Postgres; and each wanted format
 * writes the row to its output, copying runs of bytes and escaping only the cells that were seen to need it. Full
 * outputs go to the host. Compiled by AssemblyScript, TypeScript's dialect for WebAssembly (`npm run build:kernel`).
 *
 *   memory.as     the layout and the settings        respell.as    timestamps and numbers as CKAN prints them
 *   scan.as       a row's cells                      rows.as          the row in each wanted format (generated)
 *   output.as     the outputs                        csv, tsv, …      a format's row
 *   json-value.as a cell as JSON                     escape, nested   the cells that need more
 *
 * Facts of the protocol: Postgres manual, "Message Formats".
 */
import { LF, wanted } from './memory.as';
import { drain, position } from './output.as';
import { respellTimestamps } from './respell.as';
import { slots, writeRow } from './rows.as';
import { scanRow } from './scan.as';

export { configure } from './memory.as';
export { configureOutput } from './output.as';

const COPY_DATA: i32 = 0x64;
const COPY_OUT_RESPONSE: i32 = 0x48;
const NOTICE: i32 = 0x4e;
const PARAMETER_STATUS: i32 = 0x53;
const NOTIFICATION: i32 = 0x41;
/** Code and length of a message. */
const HEADER_BYTES: usize = 5;

// What `run` found beside rows.
const MORE: i32 = 0;
const FOREIGN: i32 = 1;
const BROKEN: i32 = 2;

/** Rows written. */
export let rows: f64 = 0;
/** What the last `run` ended at: the input's end, a message that is none of ours, or no sound CSV row. */
export let state: i32 = MORE;

/** Take `length` bytes at `input`; moves what is left to its beginning and returns its length. */
export function run(input: usize, length: usize): usize {
  let message = input;
  const end = input + length;
  state = MORE;
  while (state === MORE && message + HEADER_BYTES <= end) {
    const code = <i32>load<u8>(message);
    const messageLength = <usize>bswap<u32>(load<u32>(message, 1)) + 1;
    if (code !== COPY_DATA && !isPassedOver(code)) state = FOREIGN;
    else if (messageLength < HEADER_BYTES) state = BROKEN;
    if (state !== MORE || messageLength > end - message) break;
    if (code === COPY_DATA) takeRow(message + HEADER_BYTES, message + messageLength - 1);
    message += messageLength;
  }
  drainAll();
  const left = end - message;
  if (message !== input) memory.copy(input, message, left);
  return left;
}

// @ts-ignore: decorator
@inline
function isPassedOver(code: i32): bool {
  return code === COPY_OUT_RESPONSE || code === NOTICE || code === PARAMETER_STATUS || code === NOTIFICATION;
}

// @ts-ignore: decorator
@inline
function takeRow(start: usize, end: usize): void {
  if (end < start || load<u8>(end) !== LF || !scanRow(start, end)) {
    state = BROKEN;
    return;
  }
  respellTimestamps();
  writeRow();
  rows += 1;
}

function drainAll(): void {
  for (let slot = 0; slot < slots; slot++) {
    if (wanted & (1 << slot)) drain(slot, position(slot));
  }
}
