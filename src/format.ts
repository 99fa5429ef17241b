/**
 * The four formats of a dump and their BOM twins.
 *
 * CKAN's pages link CSV and TSV with `bom=True` (resource page template of CKAN 2.11 and 2.12), so the twins are
 * what people click; `DUMPER_FORMATS` names the variants that are published.
 */

export const formats = ['csv', 'tsv', 'json', 'xml'] as const;
export type Format = (typeof formats)[number];

/** A published file: a format, with or without the UTF-8 byte order mark in front. */
export type Variant = Format | `${Format}+bom`;
export const variants: readonly Variant[] = formats.flatMap((format) => [format, `${format}+bom` as const]);

export const byteOrderMark: Uint8Array = Uint8Array.of(0xef, 0xbb, 0xbf);

/** The format's own media type: CKAN 2.12 answers `application/octet-stream` for all of them (repair 1). */
export const contentTypes: Readonly<Record<Format, string>> = {
  csv: 'text/csv; charset=utf-8',
  tsv: 'text/tab-separated-values; charset=utf-8',
  json: 'application/json; charset=utf-8',
  xml: 'text/xml; charset=utf-8',
};

export function formatOf(variant: Variant): Format {
  return variant.replace('+bom', '') as Format;
}

export function hasByteOrderMark(variant: Variant): boolean {
  return variant.endsWith('+bom');
}

export function variantOf(format: Format, bom: boolean): Variant {
  return bom ? `${format}+bom` : format;
}
