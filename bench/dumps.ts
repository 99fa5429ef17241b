/** Each table, every way out: raw COPY, live answers, six blobs into a store, and the naive design, in turn. */
import { cpus } from 'node:os';
import { ckanFormats, formats } from '../src/format.ts';
import { alternate, once, ratio, spread, type Figure, type Sample } from './measure.ts';
import { costs, ratioText, type Line } from './report.ts';
import { startService } from './sidecar.ts';
import type { SideInput } from './sides.ts';
import { fillTable, shapes } from './tables.ts';
import type { Bench } from './world.ts';

export interface DumpsAsked {
  readonly names: readonly string[];
  readonly megabytes: number;
  readonly runs: number;
  /** Only sides whose name begins so; raw COPY always runs. */
  readonly sides: string;
}

export async function dumps(bench: Bench, asked: DumpsAsked): Promise<Line[]> {
  const { names, megabytes } = asked;
  const lines: Line[] = [];
  for (const shape of shapes.filter(({ name }) => names.includes(name))) {
    const table = `bench-${shape.name}`;
    const rows = await fillTable(bench.owner, table, shape, megabytes);
    const figures = await measured(bench, table, shape.name, asked);
    const about = `**${shape.name}** (${shape.meaning}, ${rows.toLocaleString('en')} rows)`;
    lines.push(...linesOf(about, figures));
    await bench.owner.query(`DROP TABLE public."${table}"`);
  }
  return lines;
}

async function measured(bench: Bench, table: string, shape: string, asked: DumpsAsked): Promise<Figure[]> {
  const { readUrl } = bench.database;
  const state = await bench.another();
  const service = await startService({ readUrl, stateUrl: state.stateUrl, publishes: false });
  const input: SideInput = { readUrl, table, serviceUrl: service.url };
  const bucket = await bench.s3?.createBucket();
  const { bytes } = await once('publish-hash', input, {});
  const stored = { ...input, blobStore: `s3://${bucket}/bench`, bytes };
  const named = (name: string, of: SideInput = input) => ({ name, input: of });
  const sides = [
    named('raw-copy'),
    ...formats.map((format) => named(`live-${format}`)),
    named('publish-hash'),
    ...(bench.s3 === null ? [] : [named('publish-store', stored), named('put-only', stored)]),
    // The naive design is slow: of one table only, and once.
    ...(shape === 'typical'
      ? ckanFormats.map((format) => ({ ...named(`naive-${format}`), slow: true }))
      : []),
  ].filter(({ name }) => name === 'raw-copy' || name.startsWith(asked.sides));
  try {
    return await alternate(sides, asked.runs, { ...bench.s3?.environment }, (side, { wallSeconds }) => {
      console.error(`${table} ${side.padEnd(14)} ${wallSeconds.toFixed(2)} s`);
    });
  } finally {
    await service.stop();
    await state.drop();
  }
}

const goals: Readonly<Record<string, string>> = {
  'live-csv': '1.20, aim 1.05',
  'live-tsv': '1.40, aim 1.15',
  'live-json': '1.40, aim 1.15',
  'live-xml': '1.40, aim 1.15',
  'publish-hash': '1.60, aim 1.20',
  'publish-store': '1.40, aim 1.15',
};

const meanings: Readonly<Record<string, string>> = {
  'publish-hash': 'all six blobs into a store that only hashes ÷ raw COPY',
  'publish-store': 'all six blobs into S3 ÷ max(raw COPY, the same bytes put alone, CPU ÷ cores)',
  'put-only': 'as many bytes put into S3 alone ÷ raw COPY',
};

function linesOf(about: string, figures: readonly Figure[]): Line[] {
  const raw = figures.find(({ side }) => side === 'raw-copy');
  const put = figures.find(({ side }) => side === 'put-only');
  if (raw === undefined) return [];
  const line = (figure: Figure): Line => ({
    what: meanings[figure.side] ?? `${figure.side.replace('-', ' ')} ÷ raw COPY`,
    value: ratioText(figure.side === 'publish-store' ? storeRatio(figure, raw, put) : ratio(figure, raw)),
    goal: goals[figure.side] ?? '',
    details: costs(figure),
    figures: [figure],
  });
  const first: Line = { what: about, value: 'raw COPY', goal: '', details: costs(raw), figures: [raw] };
  return [first, ...figures.filter((figure) => figure !== raw).map(line)];
}

/** Against whatever must take longest: Postgres alone, the store alone, or all processors together. */
function storeRatio(figure: Figure, raw: Figure, put: Figure | undefined) {
  return spread(
    figure.samples.map((sample, round) => {
      const floor = Math.max(
        raw.samples[round]?.wallSeconds ?? 0,
        put?.samples[round]?.wallSeconds ?? 0,
        allCpu(sample) / cpus().length,
      );
      return sample.wallSeconds / floor;
    }),
  );
}

function allCpu(sample: Sample): number {
  return Object.values(sample.othersCpuSeconds).reduce((sum, seconds) => sum + seconds, sample.cpuSeconds);
}
