/**
 * A large cell of JSON, written as CKAN's Python writes it from the text as it lies, in pieces and a few milliseconds at
 * a time: memory is that of one piece, whatever the cell holds (promises P13 and P14: others are not held up, memory is
 * flat). The bytes are those of `nested-text.ts`, which writes small cells from objects.
 */
import { floatText } from './float.ts';
import { endOfString, isWordByte, quoteBytes, sliceUnits, tokenUnits, type JsonCell } from './json-bytes.ts';
import type { PieceBuffer } from './piece-buffer.ts';
import type { RepeatedKeys } from './repeated-keys.ts';
import { escapeAttribute, escapeText } from './xml-text.ts';

/** How the bytes of a string are written: those below 0x80 that are not written as they are, by their code. */
interface Escapes {
  readonly isJson: boolean;
  readonly texts: readonly (Buffer | null)[];
  /** For each byte, whether it is copied without a look. */
  readonly plain: Uint8Array;
}

function escapesOf(isJson: boolean, escape: (character: string) => string): Escapes {
  const texts = Array.from({ length: 128 }, (_, code) => {
    const character = String.fromCharCode(code);
    const escaped = escape(character);
    return escaped === character ? null : Buffer.from(escaped);
  });
  const plain = Uint8Array.from({ length: 256 }, (_, byte) => ((texts[byte] ?? null) === null ? 1 : 0));
  for (const byte of [0x22, 0x5c]) plain[byte] = 0;
  // U+FFFE and U+FFFF begin with it.
  if (!isJson) plain[0xef] = 0;
  return { isJson, texts, plain };
}

const jsonEscapes = escapesOf(true, (character) => JSON.stringify(character).slice(1, -1));
const textEscapes = escapesOf(false, escapeText);
const attributeEscapes = escapesOf(false, escapeAttribute);

const named: Readonly<Record<number, number>> = {
  0x62: 0x08,
  0x66: 0x0c,
  0x6e: 0x0a,
  0x72: 0x0d,
  0x74: 0x09,
};

const ascii = (text: string): Buffer => Buffer.from(text, 'latin1');
const openKey = ascii('<value key="');
const openNilKey = ascii('<value xsi:nil="true" key="');
const closeValue = ascii('</value>');
const closeEmpty = ascii(' />');
const nil = ascii(' xsi:nil="true"');
const words = { n: ['null', ''], t: ['true', 'True'], f: ['false', 'False'] } as const;

// What a container is; the cell itself is one of a single value.
const root = 0;
const list = 1;
const object = 2;

/** What is written next: a token of the structure, a key's string, or a value's. */
type Mode = 'token' | 'key' | 'string';

export class LargeNested {
  readonly #cell: JsonCell;
  readonly #repeated: RepeatedKeys | null;
  readonly #out: PieceBuffer;
  /** Start and end of the element of XML, or null for JSON. */
  readonly #element: { readonly open: Buffer; readonly close: Buffer } | null;
  #at: number;
  #mode: Mode = 'token';
  #isSurveyed: boolean;
  #units = 0;
  // The container that is being written, and of each above: these three numbers.
  readonly #above: number[] = [];
  #kind = root;
  #index = 0;
  /** Where the text goes on behind the current value, if not behind what is written. */
  #resume = 0;
  #expectsKey = false;
  #isKeyed = false;
  #needsComma = false;
  /** The start tag that was written last still lacks its end. */
  #isTagOpen = false;
  #valueAt = 0;
  #isNull = false;

  /** Of `element` in XML, null in JSON; `repeated` is null where the type knows no repeated keys. */
  constructor(cell: JsonCell, element: string | null, repeated: RepeatedKeys | null, out: PieceBuffer) {
    this.#cell = cell;
    this.#repeated = repeated;
    this.#isSurveyed = repeated === null;
    this.#out = out;
    this.#element =
      element === null ? null : { open: Buffer.from(`<${element}`), close: Buffer.from(`</${element}>`) };
    this.#at = cell.start;
  }

  /** Write on for a few milliseconds; true once the cell is written. */
  advance(): boolean {
    if (!this.#isSurveyed) {
      this.#isSurveyed = this.#repeated?.advance() ?? true;
      return false;
    }
    this.#units = sliceUnits;
    while (this.#units > 0 && this.#at < this.#cell.end) {
      if (this.#mode === 'token') this.#token();
      else this.#string();
    }
    this.#out.flush();
    return this.#at >= this.#cell.end && this.#mode === 'token';
  }

  #token(): void {
    const byte = this.#cell.bytes[this.#at];
    this.#units -= 1;
    switch (byte) {
      case 0x20:
      case 0x09:
      case 0x0a:
      case 0x0d:
      case 0x2c:
      case 0x3a:
        this.#at += 1;
        return;
      case 0x22:
        if (this.#expectsKey) this.#key();
        else this.#startString();
        break;
      case 0x7b:
      case 0x5b:
        this.#open(byte === 0x7b);
        break;
      case 0x7d:
      case 0x5d:
        this.#close(byte === 0x7d);
        break;
      default:
        this.#word();
    }
    this.#units -= tokenUnits;
  }

  #key(): void {
    const start = this.#at + quoteBytes;
    const end = endOfString(this.#cell, start) + quoteBytes;
    const repetition = this.#repeated?.of(start) ?? null;
    if (repetition?.value === 0) {
      this.#at = repetition.end;
      return;
    }
    this.#valueAt = repetition?.value ?? end;
    this.#resume = repetition?.end ?? 0;
    this.#expectsKey = false;
    this.#isKeyed = true;
    this.#mode = 'key';
    this.#at = start;
    this.#isNull = this.#element !== null && this.#isNullAt(this.#valueAt);
    if (this.#element !== null) this.#child(this.#isNull);
    else this.#out.ascii(this.#needsComma ? ',"' : '"');
  }

  #isNullAt(value: number): boolean {
    const { bytes } = this.#cell;
    let at = value;
    while (' \t\n\r:'.includes(String.fromCharCode(bytes[at] ?? 0))) at += 1;
    return bytes[at] === 0x6e;
  }

  /** The start of an element up to its key's text; the parent's start tag ends before it. */
  #child(isNull: boolean): void {
    if (this.#isTagOpen) this.#out.ascii('>');
    this.#isTagOpen = false;
    this.#out.put(isNull ? openNilKey : openKey);
  }

  /** What stands before a value; in XML its start tag, without the end. */
  #lead(isNull: boolean): void {
    const isKeyed = this.#isKeyed;
    this.#isKeyed = false;
    if (this.#element === null) {
      if (!isKeyed && this.#needsComma) this.#out.ascii(',');
    } else if (this.#kind === root) {
      this.#out.put(this.#element.open);
      if (isNull) this.#out.put(nil);
    } else if (!isKeyed) {
      this.#child(isNull);
      this.#out.ascii(`${this.#index}"`);
      this.#index += 1;
    }
  }

  #startString(): void {
    this.#lead(false);
    this.#mode = 'string';
    this.#at += quoteBytes;
    if (this.#element === null) this.#out.ascii('"');
    else if (this.#cell.bytes[this.#at] !== 0x22) this.#out.ascii('>');
    else {
      this.#out.put(closeEmpty);
      this.#endValue(this.#at + quoteBytes);
    }
  }

  #open(isObject: boolean): void {
    this.#lead(false);
    this.#above.push(this.#kind, this.#index, this.#resume);
    this.#kind = isObject ? object : list;
    this.#index = 0;
    this.#resume = 0;
    this.#expectsKey = isObject;
    this.#needsComma = false;
    this.#at += 1;
    if (this.#element === null) this.#out.ascii(isObject ? '{' : '[');
    else this.#isTagOpen = true;
  }

  #close(isObject: boolean): void {
    this.#resume = this.#above.pop() ?? 0;
    this.#index = this.#above.pop() ?? 0;
    this.#kind = this.#above.pop() ?? root;
    if (this.#element === null) this.#out.ascii(isObject ? '}' : ']');
    else this.#out.put(this.#isTagOpen ? closeEmpty : this.#endTag());
    this.#isTagOpen = false;
    this.#endValue(this.#at + 1);
  }

  #endTag(): Buffer {
    return this.#kind === root && this.#element !== null ? this.#element.close : closeValue;
  }

  /** Go on behind the value, or, of a repeated key, behind the value that it replaces. */
  #endValue(end: number): void {
    this.#mode = 'token';
    this.#at = this.#resume === 0 ? end : this.#resume;
    this.#resume = 0;
    this.#needsComma = true;
    this.#expectsKey = this.#kind === object;
  }

  /** A number, `true`, `false` or `null`. */
  #word(): void {
    const { bytes, end } = this.#cell;
    const from = this.#at;
    let to = from + 1;
    let isFloat = false;
    for (; to < end; to++) {
      const byte = bytes[to] as number;
      if (!isWordByte(byte)) break;
      if (byte === 0x2e || byte === 0x45 || byte === 0x65) isFloat = true;
    }
    this.#units -= to - from;
    const first = String.fromCharCode(bytes[from] ?? 0);
    this.#lead(first === 'n');
    if (first === 'n' || first === 't' || first === 'f') this.#content(words[first]);
    else if (isFloat) this.#float(floatText(Number(bytes.toString('latin1', from, to))));
    else if (first === '-' && to - from === 2 && bytes[from + 1] === 0x30) this.#content(['0', '0']);
    else this.#integer(from, to);
    this.#endValue(to);
  }

  #float(text: string): void {
    this.#content([text.endsWith('y') ? `"${text}"` : text, text.replace('Infinity', 'inf')]);
  }

  #content([json, xml]: readonly [string, string]): void {
    if (this.#element === null) return this.#out.ascii(json);
    if (xml === '') return this.#out.put(closeEmpty);
    this.#out.ascii('>');
    this.#out.ascii(xml);
    this.#out.put(this.#endTag());
  }

  #integer(from: number, to: number): void {
    if (this.#element !== null) this.#out.ascii('>');
    this.#out.put(this.#cell.bytes, from, to);
    if (this.#element !== null) this.#out.put(this.#endTag());
  }

  /** A stretch of the string. */
  #string(): void {
    const escapes = this.#escapes();
    const { bytes, end } = this.#cell;
    const start = this.#at;
    const stop = Math.min(end, start + this.#units);
    let at = start;
    let run = at;
    while (at < stop) {
      const byte = bytes[at] as number;
      if (escapes.plain[byte] === 1) {
        at += 1;
        continue;
      }
      if (at > run) this.#out.put(bytes, run, at);
      if (byte === 0x22) {
        this.#units -= at - start;
        return this.#endString(at + quoteBytes);
      }
      at = byte === 0x5c ? this.#escaped(at + 1, escapes) : this.#special(at, byte, escapes);
      run = at;
    }
    if (at > run) this.#out.put(bytes, run, at);
    this.#units -= at - start;
    this.#at = at;
  }

  #escapes(): Escapes {
    if (this.#element === null) return jsonEscapes;
    return this.#mode === 'key' ? attributeEscapes : textEscapes;
  }

  #endString(end: number): void {
    if (this.#mode === 'string') {
      if (this.#element === null) this.#out.ascii('"');
      else this.#out.put(this.#endTag());
      this.#endValue(end);
    } else {
      this.#out.ascii(this.#element === null ? '":' : '"');
      this.#mode = 'token';
      this.#at = this.#valueAt;
    }
  }

  /** A byte that stands unescaped in the text; returns where the text goes on. */
  #special(at: number, byte: number, escapes: Escapes): number {
    const { bytes } = this.#cell;
    if (byte !== 0xef) {
      this.#character(byte, escapes);
      return at + 1;
    }
    const code = ((bytes[at + 1] ?? 0) << 8) | (bytes[at + 2] ?? 0);
    if (code === 0xbfbe || code === 0xbfbf) this.#out.character(0xfffd);
    else this.#out.put(bytes, at, at + 3);
    return at + 3;
  }

  /** What stands behind a backslash; returns where the text goes on. */
  #escaped(at: number, escapes: Escapes): number {
    const byte = this.#cell.bytes[at] ?? 0;
    this.#units -= 2;
    if (byte !== 0x75) {
      this.#character(named[byte] ?? byte, escapes);
      return byte === 0x22 ? at + quoteBytes : at + 1;
    }
    const unit = this.#unitAt(at);
    const isHigh = unit >= 0xd800 && unit < 0xdc00;
    const next = isHigh && this.#cell.bytes[at + 5] === 0x5c && this.#cell.bytes[at + 6] === 0x75;
    const low = next ? this.#unitAt(at + 6) : 0;
    if (low >= 0xdc00 && low < 0xe000) {
      this.#out.character(0x10000 + ((unit - 0xd800) << 10) + (low - 0xdc00));
      return at + 11;
    }
    this.#character(unit, escapes);
    return at + 5;
  }

  /** The UTF-16 unit of `u` and four digits. */
  #unitAt(at: number): number {
    return Number.parseInt(this.#cell.bytes.toString('latin1', at + 1, at + 5), 16);
  }

  #character(code: number, { isJson, texts }: Escapes): void {
    const escaped = code < 0x80 ? texts[code] : null;
    if (escaped) this.#out.put(escaped);
    else if (isJson && code >= 0xd800 && code < 0xe000) this.#out.ascii(`\\u${code.toString(16)}`);
    else if (!isJson && code >= 0xfffe) this.#out.character(0xfffd);
    else this.#out.character(code);
  }
}
