/** More clients than live slots, all at one stale table: how many of their requests are answered. */
import { setTimeout as delay } from 'node:timers/promises';
import { spread } from './measure.ts';
import type { Line } from './report.ts';
import { startService } from './sidecar.ts';
import type { Bench } from './world.ts';

const table = 'bench-live-crowd';
const clients = 20;

interface Asked {
  readonly status: number;
  readonly seconds: number;
}

export async function liveCrowd(bench: Bench, seconds: number, rows: number): Promise<Line[]> {
  await bench.owner.query(
    `CREATE TABLE public."${table}" (_id serial PRIMARY KEY, _full_text tsvector, n int4, text text)`,
  );
  await bench.owner.query(
    `INSERT INTO public."${table}" (n, text)
     SELECT i, 'row ' || i || ' ' || repeat(md5(i::text), 8) FROM generate_series(1, ${rows}) i`,
  );
  const state = await bench.another();
  const service = await startService({ ...state, readUrl: bench.database.readUrl, publishes: false });
  const dump = `${service.url}/datastore/dump/${table}?latest=true`;
  try {
    const overAt = performance.now() + seconds * 1000;
    const crowd = Array.from({ length: clients }, (_, index) => visit(dump, `198.51.100.${index}`, overAt));
    return [lineOf((await Promise.all(crowd)).flat(), rows)];
  } finally {
    await service.stop();
    await bench.owner.query(`DROP TABLE public."${table}"`);
    await state.drop();
  }
}

/** One client that asks again as soon as it was answered, or a moment after it was refused. */
async function visit(url: string, address: string, overAt: number): Promise<Asked[]> {
  const asked: Asked[] = [];
  while (performance.now() < overAt) {
    const startedAt = performance.now();
    const answer = await fetch(url, { headers: { 'x-forwarded-for': address } });
    for await (const _ of answer.body ?? []) {
      // Read and dropped.
    }
    asked.push({ status: answer.status, seconds: (performance.now() - startedAt) / 1000 });
    if (answer.status !== 200) await delay(1000);
  }
  return asked;
}

function lineOf(asked: readonly Asked[], rows: number): Line {
  const answered = asked.filter(({ status }) => status === 200);
  const { median, most } = spread(answered.map(({ seconds }) => seconds));
  return {
    what: `${clients} clients at one live table of ${rows.toLocaleString('en')} rows: share of requests that are answered`,
    value: `${((100 * answered.length) / asked.length).toFixed(0)} %`,
    goal: 'all',
    details: `${answered.length} of ${asked.length}; ${median.toFixed(1)} s each, at most ${most.toFixed(1)} s`,
  };
}
