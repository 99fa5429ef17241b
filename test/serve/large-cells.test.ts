/**
 * A table with JSON cells of 10 and 40 MB, given live and published by a process with a small heap, while others are
 * answered (promises P13, P14).
 */
import { createHash } from 'node:crypto';
import { readFile } from 'node:fs/promises';
import { afterAll, beforeAll, expect, test, vi } from 'vitest';
import type { Format } from '../../src/format.ts';
import { recordCount } from '../world/counts.ts';
import { eventually } from '../world/eventually.ts';
import { serviceFixture, startProgram, type Program, type ServiceFixture } from '../world/service.ts';

// hundreds of megabytes are written
vi.setConfig({ testTimeout: 300_000, hookTimeout: 120_000 });

const large = 'c1800000-0000-4000-8000-000000000001';
const small = 'c1800000-0000-4000-8000-000000000002';
const formats: readonly Format[] = ['json', 'xml', 'ndjson', 'csv'];
const heapMegabytes = 256;
const mostResidentMegabytes = 512;

/** Of about 10 MB each, the last of 40 MB. */
const cells = [
  `'[' || repeat('1.5,', 2500000) || '0]'`,
  `(SELECT '{' || string_agg('"key ' || i % 400000 || '": {"a": null}', ',') || '}' FROM generate_series(1, 420000) i)`,
  `'{"text": "' || repeat('long \\n<text> & ', 700000) || '"}'`,
  `repeat('[', 1500) || repeat('{"a": [], "b": {}},', 500000) || '0' || repeat(']', 1500)`,
  `(SELECT '[' || string_agg('{"id": ' || i || ', "name": "object", "value": 0.25}', ',') || ']' FROM generate_series(1, 800000) i)`,
];

let installation: ServiceFixture;
let program: Program;

beforeAll(async () => {
  installation = await serviceFixture({
    settings: {
      DUMPER_FORMATS: 'csv,json,xml,ndjson',
      NODE_OPTIONS: `--max-old-space-size=${heapMegabytes}`,
    },
  });
  await installation.createTable(small, 100);
  const rows = cells.map((cell, i) => `(${i + 1}, (${cell})::json)`).join(',\n');
  await installation.asOwner(`CREATE TABLE public."${large}" (_id int PRIMARY KEY, _full_text tsvector, j json);
    INSERT INTO public."${large}" (_id, j) VALUES ${rows}`);
  program = await startProgram(installation.settings);
});
afterAll(async () => {
  program.child.kill('SIGTERM');
  await program.exited;
  await installation.end();
});

interface Given {
  readonly source: string | null;
  readonly bytes: number;
  readonly sha256: string;
}

async function download(query: string): Promise<Given> {
  const response = await fetch(`${program.base}/datastore/dump/${large}?${query}`);
  expect(response.status).toBe(200);
  const hash = createHash('sha256');
  let bytes = 0;
  for await (const piece of response.body ?? []) {
    hash.update(piece as Uint8Array);
    bytes += (piece as Uint8Array).length;
  }
  return { source: response.headers.get('x-dump-source'), bytes, sha256: hash.digest('hex') };
}

interface Others {
  readonly answers: number;
  readonly longestMilliseconds: number;
}

/** Another client's redirects and live answers of a small table, one after the other, until `work` ends. */
async function answersDuring(work: Promise<unknown>): Promise<Others> {
  const progress = { isOver: false };
  const over = work.finally(() => {
    progress.isOver = true;
  });
  let answers = 0;
  let longestMilliseconds = 0;
  while (!progress.isOver) {
    for (const query of ['format=csv', 'format=json&latest=true']) {
      const began = performance.now();
      const url = `${program.base}/datastore/dump/${small}?${query}`;
      const response = await fetch(url, { redirect: 'manual' });
      await response.arrayBuffer();
      expect([200, 302]).toContain(response.status);
      longestMilliseconds = Math.max(longestMilliseconds, performance.now() - began);
      answers += 1;
    }
  }
  await over;
  return { answers, longestMilliseconds };
}

async function mostResident(): Promise<number> {
  const status = await readFile(`/proc/${program.child.pid}/status`, 'utf8');
  return Math.round(Number(/VmHWM:\s+(\d+)/.exec(status)?.[1]) / 1024);
}

test('P13, P14: cells of 10 and 40 MB are published and given live in little memory while others are answered', async () => {
  const published = eventually('published', () => installation.manifest(large), { seconds: 240 });
  const meanwhile = [await answersDuring(published)];
  for (const format of formats) {
    const live = download(`format=${format}&latest=true`);
    meanwhile.push(await answersDuring(live));
    const blob = await download(`format=${format}&redirect=false`);
    expect([(await live).source, blob.source]).toEqual(['live', 'blob']);
    expect({ ...(await live), source: 'blob' }).toEqual(blob);
    expect(blob.bytes).toBeGreaterThan(60_000_000);
  }
  for (const { answers } of meanwhile) expect(answers).toBeGreaterThan(20);
  expect(program.child.exitCode).toBe(null);
  const megabytes = await mostResident();
  const answers = meanwhile.reduce((sum, others) => sum + others.answers, 0);
  const longest = Math.max(...meanwhile.map((others) => others.longestMilliseconds));
  console.log(
    `${megabytes} MiB resident at most; the longest of ${answers} other answers: ${Math.round(longest)} ms`,
  );
  recordCount('P13', 'other answers while cells of 10 and 40 MB were written', answers);
  expect(megabytes).toBeLessThan(mostResidentMegabytes);
});
