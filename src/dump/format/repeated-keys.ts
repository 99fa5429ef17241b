/**
 * The repeated keys of a large cell of JSON. Python's dict has the last value of a repeated key at the place of the
 * first, so before a piece is written it must be known which keys come again. Memory is that of the keys of the objects
 * that are open, as offsets, and of those that are repeated.
 *
 * Source of facts: Python manual, `json` ("Repeated Names Within an Object"), and recorded answers.
 */
import { randomInt } from 'node:crypto';
import { endOfString, quoteBytes, sliceUnits, tokenUnits, type JsonCell } from './json-bytes.ts';
import { OffsetTable, type OffsetEntry } from './offset-table.ts';

/** How a member that is repeated is written. */
interface Repetition {
  /** Where the value stands that counts, or 0 where the member is left out. */
  readonly value: number;
  /** Where the member's own value ends. */
  readonly end: number;
}

/** A list or object that is being read. Reused for the next one of its depth. */
class Level {
  isObject = false;
  expectsKey = false;
  keys: OffsetTable | null = null;
  /** The first keys, by offset, hash and end of the value; more than `fewKeys` go to a table. */
  readonly few: number[] = [];
  /** The current member: its key, and where its value's end is noted. */
  key = 0;
  entry: OffsetEntry | null = null;
  fewAt = 0;
  isRepeated = false;
}

const fewKeys = 8;
const fewNumbers = 3;
// The two values of an entry.
const endValue = 2;
const valueValue = 3;
/** Nobody can choose keys that all fall into one place of a table. */
const seed = randomInt(2 ** 31);

export class RepeatedKeys {
  readonly #cell: JsonCell;
  readonly #levels: Level[] = [new Level()];
  readonly #repeated = new OffsetTable();
  #depth = 0;
  #at: number;
  #any = false;

  constructor(cell: JsonCell) {
    this.#cell = cell;
    this.#at = cell.start;
  }

  /** Read on for a few milliseconds; true once the cell was read to its end. */
  advance(): boolean {
    const { bytes, end } = this.#cell;
    for (let units = sliceUnits; units > 0 && this.#at < end; units--) {
      const byte = bytes[this.#at];
      if (byte === 0x22) units -= this.#string();
      else if (byte === 0x7b || byte === 0x5b) this.#open(byte === 0x7b);
      else if (byte === 0x7d || byte === 0x5d) this.#close();
      else if (byte === 0x2c) this.#endMember();
      this.#at += 1;
    }
    return this.#at >= end;
  }

  /** How the member is written whose key's first byte stands at `key`; null where it is written as it stands. */
  of(key: number): Repetition | null {
    if (!this.#any) return null;
    const entry = this.#repeated.get(hashOf(key), (stored) => stored === key);
    if (entry === null) return null;
    const { entries, at } = entry;
    return { value: entries[at + valueValue] ?? 0, end: entries[at + endValue] ?? 0 };
  }

  /** Leaves the position at the last byte of the string; returns what reading it cost. */
  #string(): number {
    const start = this.#at + quoteBytes;
    const end = endOfString(this.#cell, start);
    const level = this.#levels[this.#depth] as Level;
    if (level.expectsKey) this.#key(level, start, end);
    this.#at = end + quoteBytes - 1;
    return tokenUnits + (end - start) / 8;
  }

  #open(isObject: boolean): void {
    this.#depth += 1;
    const level = (this.#levels[this.#depth] ??= new Level());
    level.isObject = isObject;
    level.expectsKey = isObject;
    level.keys = null;
    level.few.length = 0;
    level.key = 0;
  }

  #close(): void {
    this.#endMember();
    this.#depth -= 1;
  }

  #key(level: Level, start: number, end: number): void {
    const hash = keyHash(this.#cell, start, end);
    const isSame = (stored: number): boolean => isSameKey(this.#cell, stored, start, end);
    level.key = start;
    level.expectsKey = false;
    const first = level.keys === null ? addToFew(level, hash, isSame) : addToTable(level, hash, isSame);
    level.isRepeated = first !== null;
    if (first !== null) this.#repeat(first.key, end + quoteBytes, first.end);
  }

  #endMember(): void {
    const level = this.#levels[this.#depth] as Level;
    if (!level.isObject || level.key === 0) return;
    if (level.isRepeated) this.#repeat(level.key, 0, this.#at);
    else if (level.entry !== null) level.entry.entries[level.entry.at + endValue] = this.#at;
    else level.few[level.fewAt + 2] = this.#at;
    level.key = 0;
    level.expectsKey = true;
  }

  #repeat(key: number, value: number, end: number): void {
    this.#any = true;
    const { entries, at } = this.#repeated.add(hashOf(key), key, (stored) => stored === key);
    entries[at + endValue] = end;
    entries[at + valueValue] = value;
  }
}

type IsSame = (stored: number) => boolean;

/** The first member of the level's key, or null: then the key is added, and its value's end will be noted. */
function addToFew(level: Level, hash: number, isSame: IsSame): { key: number; end: number } | null {
  const { few } = level;
  for (let at = 0; at < few.length; at += fewNumbers) {
    const stored = few[at] ?? 0;
    if (few[at + 1] === hash && isSame(stored)) return { key: stored, end: few[at + 2] ?? 0 };
  }
  if (few.length === fewKeys * fewNumbers) return moveToTable(level, hash, isSame);
  level.entry = null;
  level.fewAt = few.length;
  few.push(level.key, hash, 0);
  return null;
}

function moveToTable(level: Level, hash: number, isSame: IsSame): { key: number; end: number } | null {
  const keys = new OffsetTable();
  const { few } = level;
  for (let at = 0; at < few.length; at += fewNumbers) {
    const entry = keys.add(few[at + 1] ?? 0, few[at] ?? 0, () => false);
    entry.entries[entry.at + endValue] = few[at + 2] ?? 0;
  }
  level.keys = keys;
  return addToTable(level, hash, isSame);
}

function addToTable(level: Level, hash: number, isSame: IsSame): { key: number; end: number } | null {
  const entry = (level.keys as OffsetTable).add(hash, level.key, isSame);
  if (!entry.isNew)
    return { key: entry.entries[entry.at] ?? 0, end: entry.entries[entry.at + endValue] ?? 0 };
  level.entry = entry;
  return null;
}

function hashOf(offset: number): number {
  const mixed = Math.imul(offset ^ seed, 0x9e3779b1);
  return (mixed ^ (mixed >>> 15)) >>> 0;
}

function keyHash({ bytes }: JsonCell, start: number, end: number): number {
  const isEscaped = bytes.subarray(start, end).includes(0x5c);
  const text = isEscaped ? Buffer.from(keyText(bytes, start, end)) : bytes;
  const textEnd = isEscaped ? text.length : end;
  let hash = seed;
  for (let at = isEscaped ? 0 : start; at < textEnd; at++) {
    hash = Math.imul(hash ^ (text[at] ?? 0), 0x01000193);
    hash ^= hash >>> 13;
  }
  return hashOf(hash);
}

function isSameKey(cell: JsonCell, one: number, other: number, otherEnd: number): boolean {
  const { bytes } = cell;
  const oneEnd = endOfString(cell, one);
  const asIs = bytes.subarray(one, oneEnd);
  const otherAsIs = bytes.subarray(other, otherEnd);
  if (!asIs.includes(0x5c) && !otherAsIs.includes(0x5c)) return asIs.equals(otherAsIs);
  return keyText(bytes, one, oneEnd) === keyText(bytes, other, otherEnd);
}

function keyText(bytes: Buffer, start: number, end: number): string {
  return JSON.parse(`"${bytes.toString('utf8', start, end).replaceAll('""', '"')}"`) as string;
}
