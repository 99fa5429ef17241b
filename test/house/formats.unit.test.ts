/** One table of formats: whatever lists them lists these (what is generated from it, `texts.test.ts` holds equal). */
import { existsSync } from 'node:fs';
import path from 'node:path';
import { describe, expect, it } from 'vitest';
import { readConfig } from '../../src/config/config.ts';
import { blobKey, parseBlobKey, revisionPrefix } from '../../src/manifest.ts';
import {
  ckanFormats,
  fileOf,
  formats,
  formatTable,
  kernelFormats,
  variantOf,
  variants,
} from '../../src/format.ts';
import { publishedVariants } from '../../src/config/setting.ts';
import { settings } from '../../src/config/settings.ts';
import { root, textOf } from './tree.ts';

describe('the table of formats', () => {
  it('has extensions and media types that tell them apart', () => {
    for (const fact of ['extension', 'mediaType', 'label'] as const) {
      expect(new Set(formats.map((format) => formatTable[format][fact])).size).toBe(formats.length);
    }
  });

  it('begins with CKAN’s four, in the order in which CKAN names them', () => {
    expect(ckanFormats).toEqual(['csv', 'tsv', 'json', 'xml']);
    expect(formats.slice(0, ckanFormats.length)).toEqual(ckanFormats);
  });

  it('names a writer of each in the kernel', () => {
    for (const format of kernelFormats) {
      expect(existsSync(path.join(root, `src/dump/format/${format}.as.ts`)), format).toBe(true);
    }
  });

  it('every variant may be published and is a format with or without a byte order mark', () => {
    expect(publishedVariants.parse(variants.join(','))).toEqual(variants);
    for (const variant of variants) {
      const { format, bom, extension } = fileOf(variant);
      expect(variantOf(format, bom)).toBe(variant);
      expect(extension).toMatch(/^[a-z]+$/);
    }
    expect(variantOf('ndjson', true)).toBe('ndjson');
  });

  it('every variant has a key of its own that tells whose blob it is', () => {
    const revision = `${'0'.repeat(20)}-00000000`;
    for (const underPublicPrefix of [true, false]) {
      const keys = variants.map((variant) =>
        blobKey(revisionPrefix('a.b', revision, underPublicPrefix), 'a.b', variant),
      );
      expect(new Set(keys).size).toBe(variants.length);
      for (const key of keys) expect(parseBlobKey(key)).toEqual({ id: 'a.b', revision, underPublicPrefix });
    }
  });
});

describe('DUMPER_FORMATS', () => {
  const minimal = { CKAN_DATASTORE_READ_URL: 'postgresql://h/d', CKAN_SITE_URL: 'http://ckan' };

  it('is by default what CKAN links and answers, and may name more', () => {
    expect(readConfig(minimal).DUMPER_FORMATS).toEqual(['csv', 'csv+bom', 'tsv', 'tsv+bom', 'json', 'xml']);
    const named = readConfig({ ...minimal, DUMPER_FORMATS: ' csv, ndjson ' });
    expect(named.DUMPER_FORMATS).toEqual(['csv', 'ndjson']);
  });

  it.each(['ndjson+bom', 'csv,nd', 'parquet+bom', 'csv;tsv'])('refuses %s, here and in the chart', (text) => {
    expect(() => readConfig({ ...minimal, DUMPER_FORMATS: text })).toThrow(
      `expected some of ${variants.join(', ')}`,
    );
    expect(chartPattern().test(text)).toBe(false);
  });

  it.each(['', 'csv', 'csv+bom ndjson', settings.DUMPER_FORMATS.default, variants.join(', ')])(
    'the chart takes %j',
    (text) => expect(chartPattern().test(text)).toBe(true),
  );

  function chartPattern(): RegExp {
    const schema = JSON.parse(textOf('helm/datastore-dumper/values.schema.json')) as {
      properties: { settings: { properties: Record<string, { pattern: string }> } };
    };
    return new RegExp(schema.properties.settings.properties['DUMPER_FORMATS']?.pattern ?? '');
  }
});
