/**
 * P2: a publishing process killed at every named step and at random instants, again and again, while readers download
 * through another process; afterwards it converges, and one sweep leaves no orphaned blobs (P7).
 */
import { setTimeout as delay } from 'node:timers/promises';
import type { PublishStep } from '../../src/publish/publish.ts';
import type { S3Server } from '../world/s3.ts';
import { eventually } from '../world/eventually.ts';
import { faultsOf, manifestOf } from './audit.ts';
import { processFixture, type Child, type ProcessFixture } from './processes.ts';
import { seeded, type Random } from './random.ts';
import { noticeSecret, openWorkload, type Workload } from './workload.ts';

export const crashSteps: readonly PublishStep[] = [
  'fenced',
  'snapshot',
  'scanning',
  'uploaded',
  'switching',
  'switched',
];

export interface KillOptions {
  readonly randomKills: number;
  /** Times that the process is killed at each named step. */
  readonly killsAtEachStep: number;
  readonly seed: number;
  readonly s3?: S3Server;
}

export interface Killed {
  readonly atSteps: number;
  readonly atRandom: number;
  readonly reads: Workload['reads'];
  readonly commits: number;
  /** Tables whose manifests were read again against their blobs after the workload. */
  readonly audited: number;
  /** What one sweep left behind. */
  readonly orphans: readonly string[];
}

export async function killPublishers(options: KillOptions): Promise<Killed> {
  const world = await processFixture({
    settings: { DUMPER_NOTICE_SECRET: noticeSecret, DUMPER_LIVE_SLOTS: '16', DUMPER_PUBLISH_SLOTS: '4' },
    ...(options.s3 === undefined ? {} : { s3: options.s3 }),
  });
  try {
    // Killed holders keep their tables for the length of a lease: enough tables for all kills within one.
    const workload = await openWorkload(world, {
      tables: 40,
      rows: 400,
      writers: 2,
      readers: 2,
      withDdl: false,
      seed: options.seed,
      restMilliseconds: 2000,
    });
    const { base } = await world.start({ DUMPER_ROLE: 'serve' });
    let over = false;
    const working = workload.run([base], () => over);
    const killing = kill(world, options).finally(() => {
      over = true;
    });
    const [kills] = await Promise.all([killing, working]);
    const last = world.spawn();
    await workload.settle(base);
    await end(last);
    return {
      ...kills,
      reads: workload.reads,
      commits: workload.commits(),
      ...(await audit(world, workload)),
    };
  } finally {
    await world.end();
  }
}

async function kill(
  world: ProcessFixture,
  options: KillOptions,
): Promise<Pick<Killed, 'atSteps' | 'atRandom'>> {
  const random = seeded(options.seed);
  let [atSteps, atRandom] = [0, 0];
  for (let round = 0; round < options.killsAtEachStep; round += 1) {
    for (const step of crashSteps) {
      const { signal } = await world.spawn({ DUMPER_ROLE: 'publish', CRASH_AT: `${step}:${random(4)}` })
        .ended;
      if (signal !== 'SIGKILL') throw new Error(`it was not killed at ${step}`);
      atSteps += 1;
    }
  }
  while (atRandom < options.randomKills) {
    // One start may be killed several times over only by being started again: each kill has its own process.
    await killAtRandom(world.spawn({ DUMPER_ROLE: 'publish' }), random);
    atRandom += 1;
  }
  return { atSteps, atRandom };
}

async function killAtRandom(child: Child, random: Random): Promise<void> {
  await eventually('it publishes', () => child.steps.length > 0, { seconds: 60 });
  await delay(random(500));
  child.process.kill('SIGKILL');
  const { signal } = await child.ended;
  if (signal !== 'SIGKILL') throw new Error(`it ended by itself: ${child.errors()}`);
}

async function end(child: Child): Promise<void> {
  child.process.kill('SIGTERM');
  const { code } = await child.ended;
  if (code !== 0) throw new Error(`exit ${code}: ${child.errors()}`);
}

async function audit(
  world: ProcessFixture,
  { versions }: Workload,
): Promise<Pick<Killed, 'audited' | 'orphans'>> {
  // by a clock at which every URL has ended, and every upload is older than the longest publication
  await world.sweep(7200);
  for (const table of versions.tables) {
    const manifest = await manifestOf(world.store, table);
    if (manifest === null) throw new Error(`${table} has no manifest`);
    const faults = await faultsOf(world.store, manifest);
    if (faults.length > 0) throw new Error(faults.join('; '));
  }
  return { audited: versions.tables.length, orphans: await world.orphans(versions.tables) };
}
