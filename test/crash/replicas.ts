/**
 * P5: three processes, one store and state database, killed, stopped and resumed. The history of each manifest is
 * monotonic, no two publications of a table overlap, and a killed or stopped worker's table is taken over.
 */
import { setTimeout as delay } from 'node:timers/promises';
import { manifestOf } from './audit.ts';
import { processFixture, type Child, type ProcessFixture } from './processes.ts';
import { seeded } from './random.ts';
import { openWorkload, noticeSecret, type Workload } from './workload.ts';

export interface ReplicaOptions {
  /** Replicas that are killed, and those that are stopped for longer than a lease, one after the other. */
  readonly kills: number;
  readonly stops: number;
  readonly stopSeconds: number;
  readonly seed: number;
}

export interface Replicas {
  /** Manifests seen, each of a higher generation than the one before. */
  readonly switches: number;
  /** Looks at who holds what. */
  readonly looks: number;
  readonly kills: number;
  readonly stops: number;
  readonly reads: Workload['reads'];
  readonly faults: readonly string[];
}

export async function threeReplicas(options: ReplicaOptions): Promise<Replicas> {
  const world = await processFixture({
    settings: { DUMPER_NOTICE_SECRET: noticeSecret, DUMPER_LIVE_SLOTS: '16' },
  });
  try {
    const workload = await openWorkload(world, {
      tables: 10,
      rows: 400,
      writers: 2,
      readers: 1,
      withDdl: false,
      seed: options.seed,
      restMilliseconds: 300,
    });
    const { base } = await world.start({ DUMPER_ROLE: 'serve' });
    const replicas = [0, 1, 2].map(() => world.spawn({ DUMPER_ROLE: 'publish' }));
    await Promise.all(replicas.map((replica) => replica.base));
    let over = false;
    const watching = watch(world, workload, () => over);
    const working = workload.run([base], () => over);
    const disturbing = disturb(world, replicas, options).finally(() => {
      over = true;
    });
    const [, , seen] = await Promise.all([disturbing, working, watching]);
    await workload.settle(base);
    return { ...seen, kills: options.kills, stops: options.stops, reads: workload.reads };
  } finally {
    await world.end();
  }
}

async function disturb(world: ProcessFixture, replicas: Child[], options: ReplicaOptions): Promise<void> {
  const random = seeded(options.seed);
  const kinds = [...Array<string>(options.stops).fill('stop'), ...Array<string>(options.kills).fill('kill')];
  for (const kind of kinds) {
    const index = random(replicas.length);
    const replica = replicas[index];
    if (replica === undefined) continue;
    await delay(random(800));
    if (kind === 'kill') {
      replica.process.kill('SIGKILL');
      await replica.ended;
      const next = world.spawn({ DUMPER_ROLE: 'publish' });
      replicas[index] = next;
      await next.base;
    } else {
      replica.process.kill('SIGSTOP');
      await delay(options.stopSeconds * 1000);
      replica.process.kill('SIGCONT');
    }
  }
}

/** Look at every manifest, again and again: its generation only grows, and each names a revision never seen before. */
async function watch(
  { store }: ProcessFixture,
  { versions }: Workload,
  over: () => boolean,
): Promise<Pick<Replicas, 'switches' | 'looks' | 'faults'>> {
  const last = new Map<string, { generation: number; revision: string }>();
  const revisions = new Set<string>();
  const faults: string[] = [];
  let [switches, looks] = [0, 0];
  while (!over()) {
    for (const table of versions.tables) {
      const manifest = await manifestOf(store, table);
      looks += 1;
      const before = last.get(table);
      if (manifest === null) {
        if (before !== undefined) faults.push(`${table}: its manifest vanished`);
        continue;
      }
      const { generation, revision } = manifest;
      if (revision === before?.revision) continue;
      if (generation <= (before?.generation ?? 0))
        faults.push(`${table}: ${generation} after ${before?.generation}`);
      if (revisions.has(revision)) faults.push(`${table}: ${revision} came back`);
      // what it followed is what was there: nothing was published in between and lost
      revisions.add(revision);
      last.set(table, { generation, revision });
      switches += 1;
    }
    await delay(5);
  }
  return { switches, looks, faults };
}
