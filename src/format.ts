/**
 * The formats of a dump: one entry each in one table. Publishing, live answers, the status page, the settings, the
 * description of the API, the chart and `docs/formats.md` read it, so that a format is added here and nowhere twice
 * (`docs/formats.md` lists the files).
 */

interface FormatEntry {
  /** What people read on the status page and in the documentation. */
  readonly label: string;
  readonly extension: string;
  /** The format's own media type: CKAN 2.12 answers `application/octet-stream` for all of them (repair 1). */
  readonly mediaType: string;
  /** `kernel`: the kernel writes its rows out of the one scan, by `dump/format/<name>.as.ts` and `frame.ts`. */
  readonly writer: 'kernel';
  /** How a cell is spelled: as Postgres prints it, or as CKAN's Python writes it in JSON or XML. */
  readonly values: 'text' | 'json' | 'xml';
  /**
   * Where the columns are named: in the head of the dump, or in each row, by elements or by keys. A key stands once in
   * its row, however often the column is asked for.
   */
  readonly names: 'head' | 'elements' | 'keys';
  /** Whether a twin with the UTF-8 byte order mark in front may be asked for and published. */
  readonly bomTwin: boolean;
  /** Whether CKAN answers in it too, and names it to those who ask for an unknown one. */
  readonly inCkan: boolean;
  /** How much larger than the table's heap it may become: only the part size of an upload depends on it. */
  readonly growth: number;
  /** What `docs/formats.md` says of it. */
  readonly note: string;
}

/** In the order in which people are shown them. */
export const formatTable = {
  csv: {
    label: 'CSV',
    extension: 'csv',
    mediaType: 'text/csv; charset=utf-8',
    writer: 'kernel',
    values: 'text',
    names: 'head',
    bomTwin: true,
    inCkan: true,
    growth: 1,
    note: 'A header row of column names, then rows. An empty cell is NULL, `""` is an empty text.',
  },
  tsv: {
    label: 'TSV',
    extension: 'tsv',
    mediaType: 'text/tab-separated-values; charset=utf-8',
    writer: 'kernel',
    values: 'text',
    names: 'head',
    bomTwin: true,
    inCkan: true,
    growth: 1,
    note: 'As CSV, with a tab between cells.',
  },
  json: {
    label: 'JSON',
    extension: 'json',
    mediaType: 'application/json; charset=utf-8',
    writer: 'kernel',
    values: 'json',
    names: 'head',
    bomTwin: true,
    inCkan: true,
    growth: 2,
    note: 'One object: `fields` with names and types, `records` with one array a row.',
  },
  xml: {
    label: 'XML',
    extension: 'xml',
    mediaType: 'text/xml; charset=utf-8',
    writer: 'kernel',
    values: 'xml',
    names: 'elements',
    bomTwin: true,
    inCkan: true,
    growth: 4,
    note: 'One `<row>` a row with one element a column; NULL is `xsi:nil`.',
  },
  ndjson: {
    label: 'NDJSON',
    extension: 'ndjson',
    mediaType: 'application/x-ndjson',
    writer: 'kernel',
    values: 'json',
    names: 'keys',
    bomTwin: false,
    inCkan: false,
    growth: 3,
    note: 'One JSON object a line, with the column names as keys and the values of JSON. No rows: an empty file.',
  },
} as const satisfies Readonly<Record<string, FormatEntry>>;

type Table = typeof formatTable;
export type Format = keyof Table;
/** The formats of which a fact is so. */
type FormatWith<Fact extends keyof FormatEntry, Value> = {
  [Name in Format]: Table[Name][Fact] extends Value ? Name : never;
}[Format];
export type CkanFormat = FormatWith<'inCkan', true>;
export type KernelFormat = FormatWith<'writer', 'kernel'>;
type BomFormat = FormatWith<'bomTwin', true>;

export const formats = Object.keys(formatTable) as readonly Format[];
export const ckanFormats = formats.filter((format): format is CkanFormat => formatTable[format].inCkan);
/** The kernel knows a format by its place among these. */
export const kernelFormats = formats.filter(
  (format): format is KernelFormat => formatTable[format].writer === 'kernel',
);

/**
 * A published file: a format, or its twin with the byte order mark in front. CKAN's pages link CSV and TSV with
 * `bom=True` (resource page template of CKAN 2.11 and 2.12), so those twins are what people click; `DUMPER_FORMATS`
 * names the variants that are published.
 */
export type Variant = Format | `${BomFormat}+bom`;

/** What there is to know of a published file; another kind of twin is another entry of `filesOf`. */
interface PublishedFile {
  readonly format: Format;
  readonly bom: boolean;
  readonly label: string;
  /** What asks for it. */
  readonly query: string;
  /** Where it stands among the files of a revision: a twin has the same name, so it has a folder of its own. */
  readonly folder: string;
  readonly extension: string;
  readonly mediaType: string;
}

function filesOf(format: Format): readonly (readonly [Variant, PublishedFile])[] {
  const { label, extension, mediaType } = formatTable[format];
  const query = `format=${format}`;
  const plain = { format, bom: false, label, query, folder: '', extension, mediaType };
  if (!hasBomTwin(format)) return [[format, plain]];
  const twin = { ...plain, bom: true, label: `${label} for Excel (with byte order mark)` };
  return [
    [format, plain],
    [`${format}+bom`, { ...twin, query: `${query}&bom=true`, folder: 'bom/' }],
  ];
}

const files = Object.fromEntries(formats.flatMap(filesOf)) as Readonly<Record<Variant, PublishedFile>>;
export const variants = Object.keys(files) as readonly Variant[];

export const byteOrderMark: Uint8Array = Uint8Array.of(0xef, 0xbb, 0xbf);

export function fileOf(variant: Variant): PublishedFile {
  return files[variant];
}

export function formatOf(variant: Variant): Format {
  return files[variant].format;
}

/** A format without a twin is the same with and without a byte order mark. */
export function variantOf(format: Format, bom: boolean): Variant {
  return bom && hasBomTwin(format) ? `${format}+bom` : format;
}

export function hasBomTwin(format: Format): format is BomFormat {
  return formatTable[format].bomTwin;
}
