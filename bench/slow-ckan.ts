/**
 * Published public dumps while CKAN is slow or stopped: the share of requests that are served, without a grace and with
 * one, beside what CKAN itself answers to a question of its own at the same time.
 */
import { setTimeout as delay } from 'node:timers/promises';
import { installTriggers, removeTriggers } from '../src/change/journal.ts';
import { eventually } from '../test/world/eventually.ts';
import type { FakeCkan } from '../test/world/fake-ckan.ts';
import type { Line } from './report.ts';
import { startService, type Service } from './sidecar.ts';
import { fillTable, shapes } from './tables.ts';
import type { Bench } from './world.ts';

const tables = Array.from({ length: 16 }, (_, index) => `bench-slow-${index}`);
const pauseMilliseconds = 500;
const graces = [0, 600];

interface Slowness {
  readonly name: string;
  apply(ckan: FakeCkan): void;
}

const slownesses: readonly Slowness[] = [
  ...[2, 5, 10, 30].map((seconds) => ({
    name: `CKAN takes ${seconds} s`,
    apply: (ckan: FakeCkan) => ckan.setSlow({ milliseconds: seconds * 1000 }),
  })),
  { name: 'CKAN is stopped', apply: (ckan) => ckan.setFault('reset') },
];

export async function slowCkan(bench: Bench, seconds: number): Promise<Line[]> {
  const shape = shapes.find(({ name }) => name === 'typical');
  if (shape === undefined) throw new RangeError('no such table');
  for (const table of tables) await fillTable(bench.owner, table, shape, 0.1);
  await installTriggers(bench.owner, { readRole: 'datastore_default', lockSeconds: 5 });
  const sides = await Promise.all(graces.map((grace) => openSide(bench, grace)));
  const lines: Line[] = [];
  try {
    for (const { name, apply } of slownesses) {
      const [without, withGrace, ckanOwn] = await Promise.all([
        ...sides.map((side) => measure(side.service, apply, seconds)),
        sides[0] === undefined ? null : askCkan(sides[0].service.ckan.url, seconds),
      ]);
      for (const { service } of sides) await recover(service);
      lines.push({
        what: `published public dumps served, ${name}`,
        value: shareText(without),
        goal: '',
        details: `with a grace of ${graces[1]} s: ${shareText(withGrace)}; CKAN itself: ${shareText(ckanOwn)}`,
      });
      console.error(lines.at(-1));
    }
  } finally {
    for (const { service, drop } of sides) {
      await service.stop();
      await drop();
    }
    await removeTriggers(bench.owner, 5);
    for (const table of tables) await bench.owner.query(`DROP TABLE public."${table}"`);
  }
  return lines;
}

async function openSide(
  bench: Bench,
  graceSeconds: number,
): Promise<{ readonly service: Service; drop(): Promise<void> }> {
  const state = await bench.another();
  const environment = { DUMPER_PUBLIC_GRACE_SECONDS: String(graceSeconds) };
  const { readUrl } = bench.database;
  const service = await startService({ ...state, readUrl, publishes: true, environment });
  await recover(service);
  return { service, drop: () => state.drop() };
}

async function recover({ url, ckan }: Service): Promise<void> {
  ckan.setFault(null);
  ckan.setSlow({ milliseconds: 0 });
  for (const table of tables) {
    await eventually(
      `${table} redirects`,
      async () => (await statusOf(`${url}/datastore/dump/${table}`)).status === 302,
      { seconds: 120 },
    );
  }
}

interface Share {
  served: number;
  asked: number;
  readonly waits: number[];
}

/** One client a table, each asking again half a second after its answer. */
async function measure({ url, ckan }: Service, apply: Slowness['apply'], seconds: number): Promise<Share> {
  apply(ckan);
  const share: Share = { served: 0, asked: 0, waits: [] };
  await Promise.all(tables.map((table) => visit(`${url}/datastore/dump/${table}`, seconds, 302, share)));
  return share;
}

/** A client of CKAN's own, as patient as the slowest answer asks for. */
async function askCkan(siteUrl: string, seconds: number): Promise<Share> {
  const share: Share = { served: 0, asked: 0, waits: [] };
  const question = `${siteUrl}/api/3/action/datastore_search?resource_id=${tables[0]}&limit=0`;
  await visit(question, seconds, 200, share);
  return share;
}

async function visit(url: string, seconds: number, good: number, share: Share): Promise<void> {
  const end = performance.now() + seconds * 1000;
  while (performance.now() < end) {
    const { status, waited } = await statusOf(url);
    share.asked += 1;
    if (status === good) {
      share.served += 1;
      share.waits.push(waited);
    }
    await delay(pauseMilliseconds);
  }
}

/** Status 0 where nothing answers. */
async function statusOf(url: string): Promise<{ readonly status: number; readonly waited: number }> {
  const started = performance.now();
  const status = await fetch(url, { redirect: 'manual' }).then(
    async (response) => {
      await response.arrayBuffer();
      return response.status;
    },
    () => 0,
  );
  return { status, waited: (performance.now() - started) / 1000 };
}

function shareText(share: Share | null | undefined): string {
  if (share === null || share === undefined || share.asked === 0) return 'not asked';
  const sorted = share.waits.toSorted((one, other) => one - other);
  const longest = sorted.at(-1);
  const median = sorted[sorted.length >> 1];
  const waits =
    longest === undefined || median === undefined
      ? ''
      : `, median ${median.toFixed(2)} s, longest ${longest.toFixed(1)} s`;
  return `${((100 * share.served) / share.asked).toFixed(1)} % of ${share.asked}${waits}`;
}
