/** A small table and a large one: memory must not grow with the table, nor the wait for the first byte. */
import { connect } from 'node:net';
import { installTriggers, removeTriggers } from '../src/change/journal.ts';
import { formats, type Format } from '../src/format.ts';
import { eventually } from '../test/world/eventually.ts';
import { once, spread } from './measure.ts';
import type { Line } from './report.ts';
import { startService, type Service } from './sidecar.ts';
import { fillTable, shapes } from './tables.ts';
import { peakRssBytes } from './cpu.ts';
import type { Bench } from './world.ts';

const table = 'bench-large';
const firstBytes = 9;

export async function large(bench: Bench, megabytes: readonly [number, number]): Promise<Line[]> {
  const shape = shapes.find(({ name }) => name === 'typical');
  if (shape === undefined) throw new RangeError('no such table');
  const bucket = await bench.s3?.createBucket();
  const input = { readUrl: bench.database.readUrl, table, blobStore: `s3://${bucket}/bench` };
  const publishing: number[] = [];
  const serving: number[] = [];
  const lines: Line[] = [];
  for (const size of megabytes) {
    await fillTable(bench.owner, table, shape, size);
    publishing.push(await publishingPeak(bench, input.blobStore));
    const state = await bench.another();
    const service = await startService({ ...state, readUrl: input.readUrl, publishes: false });
    for (const format of formats) await once(`live-${format}`, { ...input, serviceUrl: service.url }, {});
    serving.push(peakRssBytes(service.pid));
    if (size === megabytes[1]) lines.push(...(await firstByteLines(service, size)));
    await service.stop();
    await state.drop();
  }
  await bench.owner.query(`DROP TABLE public."${table}"`);
  return [
    memoryLine('publishing six blobs', publishing, megabytes),
    memoryLine('serving live', serving, megabytes),
    ...lines,
  ];
}

/** Peak memory of a service that publishes the table, the only one that it finds. */
async function publishingPeak(bench: Bench, url: string): Promise<number> {
  await installTriggers(bench.owner, { readRole: 'datastore_default', lockSeconds: 5 });
  const state = await bench.another();
  const blobStore = bench.s3 === null ? {} : { blobStore: { url, environment: bench.s3.environment } };
  const service = await startService({
    ...state,
    readUrl: bench.database.readUrl,
    publishes: true,
    ...blobStore,
  });
  try {
    await eventually('the table is published', async () => isFresh(`${service.url}/status/${table}`), {
      seconds: 3600,
    });
    return peakRssBytes(service.pid);
  } finally {
    await service.stop();
    await removeTriggers(bench.owner, 5);
    await state.drop();
  }
}

async function isFresh(url: string): Promise<boolean> {
  const answer = await fetch(url);
  return answer.ok && ((await answer.json()) as { state: string }).state === 'fresh';
}

function memoryLine(what: string, [little = 0, much = 0]: readonly number[], sizes: readonly number[]): Line {
  const inMebibytes = [little, much].map((bytes) => Math.round(bytes / 2 ** 20));
  return {
    what: `peak memory ${what}, table of ${sizes[1]} MB ÷ ${sizes[0]} MB`,
    value: (much / little).toFixed(2),
    goal: '1.20, aim 1.05; 250 MiB, aim 150',
    details: `${inMebibytes[1]} MiB and ${inMebibytes[0]} MiB, the whole process`,
  };
}

async function firstByteLines(service: Service, megabytes: number): Promise<Line[]> {
  const lines: Line[] = [];
  for (const format of formats) {
    const waits: number[] = [];
    for (let turn = 0; turn < firstBytes; turn += 1) waits.push(await firstByte(service.url, format));
    const { median, least, most } = spread(waits);
    lines.push({
      what: `first byte of a live ${format} dump of ${megabytes} MB`,
      value: `${Math.round(median)} ms`,
      goal: '100 ms, aim 30',
      details: `${firstBytes} times, ${Math.round(least)}–${Math.round(most)} ms`,
    });
  }
  return lines;
}

/** Milliseconds until the first byte of the body; then the client leaves. */
async function firstByte(url: string, format: Format): Promise<number> {
  const { hostname, port } = new URL(url);
  const started = performance.now();
  const socket = connect(Number(port), hostname);
  const { promise, resolve, reject } = Promise.withResolvers<number>();
  let head = '';
  socket.on('error', reject).on('data', (chunk: Buffer) => {
    head += chunk.toString('latin1');
    const end = head.indexOf('\r\n\r\n');
    if (end !== -1 && head.length > end + 4) resolve(performance.now() - started);
  });
  socket.write(`GET /datastore/dump/${table}?format=${format}&latest=true HTTP/1.1\r\nHost: bench\r\n\r\n`);
  try {
    return await promise;
  } finally {
    socket.destroy();
  }
}
