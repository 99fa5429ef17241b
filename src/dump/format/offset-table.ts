/**
 * A hash table of offsets without an object for each entry, for the keys of large cells of JSON. It grows in parts, so
 * that no single growth holds up the event loop.
 */

/** An entry: its offset (0 where the place is free), its hash, and two values. */
const entryNumbers = 4;
const firstEntries = 16;
/** From so many entries on there are as many parts. */
const manyEntries = 4096;
const manyParts = 256;

class Part {
  entries = new Uint32Array(firstEntries * entryNumbers);
  count = 0;
}

export class OffsetTable {
  #parts: Part[] = [new Part()];
  #count = 0;

  /** The entry of this hash of whose offset `isSame` holds, added with `offset` where there is none. */
  add(hash: number, offset: number, isSame: (stored: number) => boolean): OffsetEntry {
    if (this.#count >= manyEntries && this.#parts.length === 1) this.#split();
    const part = this.#partOf(hash);
    if (part.count * 2 * entryNumbers >= part.entries.length) grow(part);
    const at = find(part.entries, hash, isSame);
    const isNew = part.entries[at] === 0;
    if (isNew) {
      part.entries[at] = offset;
      part.entries[at + 1] = hash;
      part.count += 1;
      this.#count += 1;
    }
    return { entries: part.entries, at, isNew };
  }

  /** Where the entry stands, or null. */
  get(hash: number, isSame: (stored: number) => boolean): OffsetEntry | null {
    const { entries } = this.#partOf(hash);
    const at = find(entries, hash, isSame);
    return entries[at] === 0 ? null : { entries, at, isNew: false };
  }

  #partOf(hash: number): Part {
    return this.#parts[this.#parts.length === 1 ? 0 : hash % manyParts] as Part;
  }

  #split(): void {
    const [old] = this.#parts;
    this.#parts = Array.from({ length: manyParts }, () => new Part());
    const entries = old?.entries ?? new Uint32Array();
    for (let at = 0; at < entries.length; at += entryNumbers) {
      if (entries[at] === 0) continue;
      const part = this.#partOf(entries[at + 1] ?? 0);
      if (part.count * 2 * entryNumbers >= part.entries.length) grow(part);
      put(part.entries, entries, at);
      part.count += 1;
    }
  }
}

/** A place in a table, valid until the next entry is added. */
export interface OffsetEntry {
  readonly entries: Uint32Array;
  readonly at: number;
  readonly isNew: boolean;
}

function grow(part: Part): void {
  const larger = new Uint32Array(part.entries.length * 2);
  for (let at = 0; at < part.entries.length; at += entryNumbers)
    if (part.entries[at] !== 0) put(larger, part.entries, at);
  part.entries = larger;
}

function put(into: Uint32Array, from: Uint32Array, at: number): void {
  const free = find(into, from[at + 1] ?? 0, () => false);
  for (let number = 0; number < entryNumbers; number++) into[free + number] = from[at + number] ?? 0;
}

/** Bits of the hash that choose the part are not those that choose the place in it. */
function find(entries: Uint32Array, hash: number, isSame: (stored: number) => boolean): number {
  const places = entries.length / entryNumbers;
  let place = (hash >>> 8) & (places - 1);
  for (;;) {
    const at = place * entryNumbers;
    const stored = entries[at] ?? 0;
    if (stored === 0 || (entries[at + 1] === hash && isSame(stored))) return at;
    place = (place + 1) & (places - 1);
  }
}
