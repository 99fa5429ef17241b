/**
 * The kernel's memory, laid out from the columns: the tables it reads, the outputs it fills, the input at the end,
 * where it can grow. `memory.as.ts` draws it.
 */
import { kernelFormats, type KernelFormat } from '../../format.ts';
import type { FormatterOptions, OutputColumn } from '../formatter.ts';
import type { Frame } from './frame.ts';
import { pageBytes, type Kernel } from './kernel.ts';
import { hasIdAttribute } from './xml-names.ts';

/** The kernel loads and stores sixteen bytes at a time, so every region may be overrun by fifteen. */
export const slackBytes = 64;
const outputBytes = 2 * pageBytes;
/** `SHORT` of the kernel: the longest run that is copied without asking for room. */
const shortBytes = 1024;
const cellBytes = 16;
const scratchBytes = 64;

// The flags of `memory.as.ts`.
const jsonEscapes = 2;
const xmlEscapes = 4;
const tsvQuotes = 8;

const integers = new Set(['int', 'int2', 'int4', 'int8']);
const floats = new Set(['float4', 'float8']);
const kinds = { text: 0, number: 1, boolean: 2, nested: 3 } as const;

function kindOf(type: string): keyof typeof kinds {
  if (integers.has(type) || floats.has(type) || type === 'numeric') return 'number';
  if (type === 'bool') return 'boolean';
  return type === 'json' || type === 'jsonb' || type === 'nested' || type.startsWith('_') ? 'nested' : 'text';
}

/** `APART` of the kernel. */
const firstApart = 4;

/** Which spelling the kernel gives the text of a column in all formats but CSV and TSV; 0: Postgres's own. */
function respellingOf(type: string): number {
  if (type === 'numeric') return 1;
  if (floats.has(type)) return 2;
  return type === 'timestamptz' ? 3 : 0;
}

/** Pairs of a column and its spelling. */
function respellings(columns: readonly OutputColumn[]): number[] {
  let apart = firstApart;
  return columns.flatMap((column, index) => {
    const spelling = column.apart ? apart++ : respellingOf(column.type);
    return spelling > 0 ? [index, spelling] : [];
  });
}

/** Places regions one behind the other, and remembers what is to be written into them. */
class Regions {
  readonly #contents: { readonly at: number; readonly bytes: Uint8Array }[] = [];
  #end = 4096; // below lies the kernel's own data

  reserve(bytes: number): number {
    const at = this.#end;
    this.#end += Math.ceil((bytes + slackBytes) / slackBytes) * slackBytes;
    return at;
  }

  place(content: Uint8Array | Uint32Array): number {
    const bytes = new Uint8Array(content.buffer, content.byteOffset, content.byteLength);
    const at = this.reserve(bytes.length);
    this.#contents.push({ at, bytes });
    return at;
  }

  writeTo(memory: Uint8Array): void {
    for (const { at, bytes } of this.#contents) memory.set(bytes, at);
  }
}

interface Output {
  /** By which the kernel knows the format. */
  readonly slot: number;
  readonly start: number;
  readonly limit: number;
  /** Where the table of its literals stands. */
  readonly literals: number;
}

export interface Layout {
  /** Where the input begins; everything behind it is input. */
  readonly input: number;
  readonly outputs: ReadonlyMap<KernelFormat, Output>;
  /** Fill the tables of a memory that reaches to the input at least, and tell the kernel where they are. */
  apply(memory: Uint8Array, kernel: Kernel): void;
}

export function layOut(options: FormatterOptions, frames: ReadonlyMap<KernelFormat, Frame>): Layout {
  const { columns, profile } = options;
  const regions = new Regions();
  const types = columns.map((column) => column.type);
  const timestamps = types.flatMap((type, index) => (type === 'timestamp' ? [index] : []));
  const respelled = respellings(columns);
  const apart = columns.filter((column) => column.apart).length;
  const settings = [
    columns.length,
    apart,
    [...frames.keys()].reduce((bits, format) => bits | (1 << slotOf(format)), 0),
    profile.millisecondsInTimestamps ? 1 : 0,
    hasIdAttribute(columns) ? 1 : 0,
    regions.place(byteClasses()),
    regions.place(escapeTables()),
    regions.place(Uint8Array.from(types, (type) => kinds[kindOf(type)])),
    regions.place(Uint32Array.from(timestamps)),
    timestamps.length,
    regions.place(Uint32Array.from(respelled)),
    respelled.length / 2,
    regions.reserve((columns.length + apart) * cellBytes),
    regions.reserve(columns.length * scratchBytes),
  ];
  const outputs = new Map(
    Array.from(frames, ([format, frame]) => [format, placeOutput(regions, format, frame)]),
  );
  return {
    input: regions.reserve(0),
    outputs,
    apply(memory, kernel) {
      regions.writeTo(memory);
      kernel.configure(...settings);
      for (const { slot, start, limit, literals } of outputs.values())
        kernel.configureOutput(slot, start, limit, literals);
    },
  };
}

function slotOf(format: KernelFormat): number {
  return kernelFormats.indexOf(format);
}

/** Behind the limit is room for SHORT, for the literals beside it, and for what a copy overruns. */
function placeOutput(regions: Regions, format: KernelFormat, frame: Frame): Output {
  const texts = frame.literals.map((text) => Buffer.from(text));
  const longest = Math.max(0, ...texts.map((text) => text.length));
  const literals = placeLiterals(regions, texts);
  const start = regions.reserve(outputBytes + shortBytes + 2 * longest + 4 * slackBytes);
  return { slot: slotOf(format), start, limit: start + outputBytes, literals };
}

/** The texts, and a table of their addresses and lengths. */
function placeLiterals(regions: Regions, texts: readonly Uint8Array[]): number {
  let at = regions.place(Buffer.concat(texts));
  const table = texts.flatMap((text) => {
    const entry = [at, text.length];
    at += text.length;
    return entry;
  });
  return regions.place(Uint32Array.from(table));
}

/** What a byte makes of its cell, for each of the 256. */
function byteClasses(): Uint8Array {
  const classes = new Uint8Array(256).fill(jsonEscapes | xmlEscapes, 0, 0x20);
  classes[0x09] = jsonEscapes | tsvQuotes;
  classes[0x0a] = jsonEscapes | tsvQuotes;
  classes[0x0d] = jsonEscapes | tsvQuotes;
  classes[0x5c] = jsonEscapes;
  for (const byte of [0x26, 0x3c, 0x3e, 0xef]) classes[byte] = xmlEscapes;
  return classes;
}

/** The escapes of JSON strings, XML text and XML attributes: 256 each of eight bytes, the last of them the length. */
function escapeTables(): Uint8Array {
  const table = Buffer.alloc(3 * 256 * 8);
  for (let byte = 0; byte < 256; byte++) {
    const character = String.fromCharCode(byte);
    setEscape(table, byte, JSON.stringify(character).slice(1, -1));
    setEscape(table, 256 + byte, xmlText[character] ?? (byte < 0x20 ? '\ufffd' : character));
    setEscape(table, 512 + byte, xmlAttribute[character] ?? (byte < 0x20 ? '\ufffd' : character));
  }
  return table;
}

const xmlText: Readonly<Record<string, string>> = {
  '&': '&amp;',
  '<': '&lt;',
  '>': '&gt;',
  '\t': '\t',
  '\n': '\n',
  '\r': '\r',
};
const xmlAttribute: Readonly<Record<string, string>> = {
  ...xmlText,
  '"': '&quot;',
  '\t': '&#09;',
  '\n': '&#10;',
  '\r': '&#13;',
};

function setEscape(table: Buffer, index: number, escape: string): void {
  table[index * 8 + 7] = table.write(escape, index * 8, 7, 'utf8');
}
