/**
 * Promise P22: a corpus of recorded CKAN answers, read from its folder: `cases.jsonl` (or `.gz`), `bodies/` where it is
 * there, else the bodies' digests alone.
 */
import { existsSync } from 'node:fs';
import { readFile } from 'node:fs/promises';
import path from 'node:path';
import { gunzipSync } from 'node:zlib';

/** One request and CKAN's answer; `resource_id` and `config` as recorded. */
export interface Case {
  readonly id: string;
  readonly group: string;
  readonly table: string | null;
  readonly resource_id: string | null;
  readonly variant: string;
  readonly config: Readonly<Record<string, string>>;
  readonly method: string;
  /** The exact request target. */
  readonly path: string;
  readonly auth: string;
  readonly request_headers: Readonly<Record<string, string>>;
  readonly request_body: string | null;
  readonly status: number;
  readonly body_kind: 'dump' | 'empty' | 'error-html';
  readonly body_sha256: string | null;
  readonly body_file: string | null;
  readonly expect: 'same' | 'repair';
  readonly why: string | null;
  /** `fixed`: the order of a deviating answer's rows is the recorded one. */
  readonly row_order?: string | null;
}

export interface Corpus {
  readonly folder: string;
  readonly version: string;
  readonly cases: readonly Case[];
}

export async function readCorpus(folder: string): Promise<Corpus> {
  const packed = path.join(folder, 'cases.jsonl.gz');
  const text = existsSync(packed)
    ? gunzipSync(await readFile(packed)).toString()
    : await readFile(path.join(folder, 'cases.jsonl'), 'utf8');
  const recorded = JSON.parse(await readFile(path.join(folder, 'ckan-resources.json'), 'utf8')) as {
    readonly ckan_version: string;
  };
  const cases = text
    .split('\n')
    .filter((line) => line !== '')
    .map((line) => JSON.parse(line) as Case);
  return { folder, version: recorded.ckan_version, cases };
}

/** The recorded body, or null where the folder holds none. */
export async function recordedBody(corpus: Corpus, { body_file: file }: Case): Promise<Buffer | null> {
  const full = file === null ? null : path.join(corpus.folder, file);
  return full === null || !existsSync(full) ? null : gunzipSync(await readFile(full));
}

/** Settings of the recorded CKAN under the names that its images, and this service, use; paging needs none. */
export function environmentOf(config: Case['config']): Record<string, string> {
  const paging = new Set(['ckan.datastore.search.rows_max', 'ckan.datastore.search.rows_default']);
  return Object.fromEntries(
    Object.entries(config)
      .filter(([name]) => !paging.has(name))
      .map(([name, value]) => [name.toUpperCase().replaceAll('.', '__'), value]),
  );
}
