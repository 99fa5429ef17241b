/**
 * `npm run bench`: how fast, beside what Postgres itself needs.
 *
 *   -- --size 250            megabytes of CSV a table
 *      --runs 3              rounds; in each every side runs once, in turn
 *      --tables typical,…    narrow, typical, wide, texty
 *      --quick               30 MB, one round, few requests and tables: does it run at all
 *      --sweep-tables 10000   how many tables are swept
 *      --sides publish       only the sides of a table whose names begin so
 *      --only tables,large,redirects,sweep   `--only ckan` none of them, but CKAN where it is named
 *      --docs                put the table into docs/benchmarks.md
 *      --ckan <base URL> --resource <id> --ckan-database <read URL of its DataStore>   CKAN's own dump as a peer
 *
 * Writes a table and its JSON to `bench/results/`, a part under a name of its own. Ratios hold; absolute figures are the machine's.
 */
import { mkdirSync, readFileSync, writeFileSync } from 'node:fs';
import { cpus, loadavg } from 'node:os';
import path from 'node:path';
import { parseArgs } from 'node:util';
import { filled } from '../test/house/generated.ts';
import { besideCkan } from './ckan.ts';
import { dumps } from './dumps.ts';
import { large } from './large.ts';
import { redirects } from './redirects.ts';
import { markdown, type Line } from './report.ts';
import { sweeps } from './sweep.ts';
import { openBench, type Bench } from './world.ts';

const { values: flags } = parseArgs({
  options: {
    size: { type: 'string', default: '250' },
    runs: { type: 'string', default: '3' },
    tables: { type: 'string', default: 'narrow,typical,wide,texty' },
    'sweep-tables': { type: 'string', default: '10000' },
    sides: { type: 'string', default: '' },
    only: { type: 'string' },
    docs: { type: 'boolean', default: false },
    quick: { type: 'boolean', default: false },
    ckan: { type: 'string' },
    resource: { type: 'string' },
    'ckan-database': { type: 'string' },
  },
});
const megabytes = flags.quick ? 30 : Number(flags.size);
const runs = flags.quick ? 1 : Number(flags.runs);

const parts: Readonly<Record<string, (bench: Bench) => Promise<Line[]>>> = {
  tables: (bench) => dumps(bench, { names: flags.tables.split(','), megabytes, runs, sides: flags.sides }),
  large: (bench) => large(bench, flags.quick ? [5, 30] : [50, Math.max(2000, megabytes)]),
  redirects: (bench) => redirects(bench, flags.quick ? 1 : 5, runs),
  sweep: (bench) => sweeps(bench, flags.quick ? 500 : Number(flags['sweep-tables']), runs),
};

const lines: Line[] = [];
const bench = await openBench();
try {
  for (const [name, measure] of Object.entries(parts)) {
    if (flags.only?.split(',').includes(name) ?? true) lines.push(...(await measure(bench)));
  }
  if (flags.ckan && flags.resource && flags['ckan-database']) {
    const peer = { siteUrl: flags.ckan, resource: flags.resource, readUrl: flags['ckan-database'] };
    lines.push(...(await besideCkan(bench, peer, runs)));
  }
} finally {
  await bench.stop();
}

const date = new Date().toISOString().slice(0, 10);
const machine =
  `${cpus().length} shared cores (${cpus()[0]?.model.trim() ?? 'unknown'}), Node ${process.versions.node}, ` +
  `embedded Postgres 15, ${date}; tables of ${megabytes} MB of CSV, medians of ${runs}, load ${loadavg()[0]?.toFixed(1)}`;
const text = markdown(machine, lines);
const results = path.join(import.meta.dirname, 'results');
mkdirSync(results, { recursive: true });
const name = flags.only === undefined ? date : `${date}-${flags.only.replaceAll(',', '-')}`;
writeFileSync(path.join(results, `${name}.json`), `${JSON.stringify({ machine, lines }, null, 2)}\n`);
writeFileSync(path.join(results, `${name}.md`), `${text}\n`);
console.log(`\n${text}`);
if (flags.docs) {
  const page = path.join(import.meta.dirname, '../docs/benchmarks.md');
  const before = readFileSync(page, 'utf8');
  writeFileSync(page, filled(before, '<!-- begin bench -->', '<!-- end bench -->', text));
}
