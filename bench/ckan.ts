/** CKAN's own dump against ours of the same table, where a CKAN is at hand: its address and its DataStore are given. */
import { ckanFormats } from '../src/format.ts';
import { alternate, spread } from './measure.ts';
import { ratioText, type Line } from './report.ts';
import { startService } from './sidecar.ts';
import type { Bench } from './world.ts';

export interface Peer {
  readonly siteUrl: string;
  readonly resource: string;
  readonly readUrl: string;
}

export async function besideCkan(bench: Bench, peer: Peer, runs: number): Promise<Line[]> {
  const state = await bench.another();
  const service = await startService({ ...state, readUrl: peer.readUrl, publishes: false });
  const shared = { readUrl: peer.readUrl, table: peer.resource };
  const sides = ckanFormats.flatMap((format) => [
    { name: `live-${format}`, input: { ...shared, serviceUrl: service.url } },
    { name: `ckan-${format}`, input: { ...shared, serviceUrl: peer.siteUrl } },
  ]);
  const figures = await alternate(sides, runs, {}, (side, { wallSeconds }) => {
    console.error(`${side.padEnd(14)} ${wallSeconds.toFixed(2)} s`);
  });
  await service.stop();
  await state.drop();
  return ckanFormats.map((format) => {
    const [ours, ckans] = [`live-${format}`, `ckan-${format}`].map((name) =>
      (figures.find(({ side }) => side === name)?.samples ?? []).map(({ wallSeconds }) => wallSeconds),
    );
    const times = spread((ckans ?? []).map((seconds, round) => seconds / (ours?.[round] ?? Number.NaN)));
    return {
      what: `CKAN's own ${format} dump ÷ ours`,
      value: ratioText(times),
      goal:
        format === 'json'
          ? 'at least 4, aim 8'
          : format === 'xml'
            ? 'at least 10, aim 20'
            : 'at least 2, aim 3',
      details: `${spread(ckans ?? []).median.toFixed(2)} s and ${spread(ours ?? []).median.toFixed(2)} s`,
    };
  });
}
