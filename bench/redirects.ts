/** Redirects a second on one core, each with a token of its own request, against an empty koa route on the same core. */
import { connect } from 'node:net';
import path from 'node:path';
import { installTriggers, removeTriggers } from '../src/change/journal.ts';
import { eventually } from '../test/world/eventually.ts';
import { freePort } from '../test/world/free-port.ts';
import { spread } from './measure.ts';
import type { Line } from './report.ts';
import { ended, spawnOn, startService, statusOf } from './sidecar.ts';
import { fillTable, shapes } from './tables.ts';
import type { Bench } from './world.ts';

const table = 'bench-redirect';
const crowds = [32, 64];
/** What is measured runs on this core; Postgres and the clients take what else there is. */
const core = 0;

export async function redirects(bench: Bench, seconds: number, runs: number): Promise<Line[]> {
  const shape = shapes.find(({ name }) => name === 'typical');
  if (shape === undefined) throw new RangeError('no such table');
  await fillTable(bench.owner, table, shape, 1);
  await installTriggers(bench.owner, { readRole: 'datastore_default', lockSeconds: 5 });
  const state = await bench.another();
  const service = await startService({ ...state, readUrl: bench.database.readUrl, core, publishes: true });
  const port = await freePort();
  const empty = spawnOn(
    core,
    [path.join(import.meta.dirname, 'empty-route.ts'), String(port)],
    'inherit',
    {},
  );
  const emptyUrl = `http://127.0.0.1:${port}/`;
  const dump = `${service.url}/datastore/dump/${table}`;
  await eventually('both redirect', async () => (await statusOf(dump)) + (await statusOf(emptyUrl)) === 604, {
    seconds: 60,
  });
  const lines: Line[] = [];
  bench.keepOffFirstCore(true);
  try {
    for (const connections of crowds) {
      const [ours, peers]: [number[], number[]] = [[], []];
      // What the first round warms up is not counted.
      for (let round = 0; round <= runs; round += 1) {
        const [own, peer] = [
          await load(dump, connections, seconds),
          await load(emptyUrl, connections, seconds),
        ];
        if (round > 0) ours.push(own);
        if (round > 0) peers.push(peer);
      }
      lines.push(lineOf(connections, ours, peers));
    }
  } finally {
    bench.keepOffFirstCore(false);
    await Promise.all([service.stop(), ended(empty)]);
    await removeTriggers(bench.owner, 5);
    await bench.owner.query(`DROP TABLE public."${table}"`);
    await state.drop();
  }
  return lines;
}

function lineOf(connections: number, ours: readonly number[], peers: readonly number[]): Line {
  const share = spread(ours.map((rate, round) => rate / (peers[round] ?? Number.NaN)));
  const rates = [spread(ours).median, spread(peers).median].map((rate) =>
    Math.round(rate).toLocaleString('en'),
  );
  return {
    what: `redirects a second on one core, exact token each time ÷ an empty koa route, ${connections} connections`,
    value: `${share.median.toFixed(2)} (${share.least.toFixed(2)}–${share.most.toFixed(2)})`,
    goal: 'at least 0.4, aim 0.7',
    details: `${rates[0]} and ${rates[1]} a second`,
  };
}

/** The third digit of the status line: all that a client looks at, so that it costs little beside what it measures. */
const thirdDigit = 'HTTP/1.1 30'.length;
const two = '2'.charCodeAt(0);

/** Answers a second, one request at a time on each connection; anything but a redirect is an error. */
async function load(url: string, connections: number, seconds: number): Promise<number> {
  const { hostname, port, pathname } = new URL(url);
  const request = Buffer.from(`GET ${pathname} HTTP/1.1\r\nHost: ${hostname}\r\n\r\n`);
  let answers = 0;
  let over = false;
  const visit = (): Promise<void> => {
    const { promise, resolve, reject } = Promise.withResolvers<void>();
    const buffer = Buffer.alloc(4096);
    const onAnswer = (length: number): boolean => {
      const isRedirect = buffer[thirdDigit] === two;
      if (!isRedirect) reject(new Error(`${url}: ${buffer.toString('latin1', 0, length)}`));
      answers += 1;
      if (over || !isRedirect) socket.destroy();
      else socket.write(request);
      return true;
    };
    const onread = { buffer, callback: onAnswer };
    const socket = connect({ port: Number(port), host: hostname, onread }, () => socket.write(request));
    socket.setNoDelay(true);
    socket.on('error', reject).on('close', () => resolve());
    return promise;
  };
  const started = performance.now();
  const end = setTimeout(() => (over = true), seconds * 1000);
  await Promise.all(Array.from({ length: connections }, visit)).finally(() => clearTimeout(end));
  return answers / ((performance.now() - started) / 1000);
}
