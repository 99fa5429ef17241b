/**
 * The soak: everything at once. Writers of every kind and bad messengers, readers that check each answer, publishers
 * that are killed, stopped and started again, links to Postgres, to the state database and to the store that break; at
 * the end everything converges, is read again, and one sweep leaves no orphaned blobs.
 */
import { setTimeout as delay } from 'node:timers/promises';
import { startFaultProxy, type FaultProxy } from '../world/fault-proxy.ts';
import { startS3Faults, type S3FaultServer } from '../world/s3-faults.ts';
import type { S3Server } from '../world/s3.ts';
import { faultsOf, manifestOf } from './audit.ts';
import type { Settings } from '../world/installation.ts';
import { processFixture, type Child, type ProcessFixture } from './processes.ts';
import { seeded, type Random } from './random.ts';
import { noticeSecret, openWorkload, type Workload } from './workload.ts';

export interface SoakOptions {
  readonly minutes: number;
  readonly seed: number;
  readonly s3: S3Server | null;
  readonly say: (line: string) => void;
}

interface Links {
  readonly datastore: FaultProxy;
  readonly state: FaultProxy;
  readonly s3: S3FaultServer | null;
  /** What publishers are given, so that their links can be broken. */
  readonly settings: Settings;
  stop(): Promise<void>;
}

export interface Soaked {
  readonly counts: Readonly<Record<string, number>>;
  readonly violations: readonly string[];
  readonly orphans: readonly string[];
}

export async function soak(options: SoakOptions): Promise<Soaked> {
  const world = await processFixture({
    settings: { DUMPER_NOTICE_SECRET: noticeSecret, DUMPER_LIVE_SLOTS: '16', DUMPER_STALL_SECONDS: '5' },
    ...(options.s3 === null ? {} : { s3: options.s3 }),
  });
  const links = await openLinks(world, options.s3);
  try {
    const workload = await openWorkload(world, {
      tables: 30,
      rows: 300,
      writers: 4,
      readers: 3,
      withDdl: true,
      seed: options.seed,
      restMilliseconds: 1500,
    });
    const { base } = await world.start({ DUMPER_ROLE: 'serve' });
    const ends = performance.now() + options.minutes * 60_000;
    let over = false;
    const disturbing = disturb(world, links, { ...options, ends }).finally(() => {
      over = true;
    });
    const [disturbed] = await Promise.all([disturbing, workload.run([base], () => over)]);
    options.say('the workload is over; waiting for everything to converge');
    const last = world.spawn({ DUMPER_ROLE: 'publish' });
    await workload.settle(base);
    last.process.kill('SIGTERM');
    if ((await last.ended).code !== 0) throw new Error(`the last publisher: ${last.errors()}`);
    return await judge(world, workload, disturbed);
  } finally {
    await world.end();
    await links.stop();
  }
}

async function openLinks(world: ProcessFixture, s3: S3Server | null): Promise<Links> {
  const { hostname: host, port } = new URL(world.database.readUrl);
  const [datastore, state] = await Promise.all([
    startFaultProxy({ host, port: Number(port) }),
    startFaultProxy({ host, port: Number(port) }),
  ]);
  const double = s3 === null ? null : await startS3Faults(s3);
  return {
    datastore,
    state,
    s3: double,
    settings: {
      DUMPER_ROLE: 'publish',
      CKAN_DATASTORE_READ_URL: datastore.through(world.database.readUrl),
      DUMPER_STATE_URL: state.through(world.database.stateUrl),
      ...(double === null ? {} : { AWS_ENDPOINT_URL_S3: `http://${double.host}:${double.port}` }),
    },
    stop: async () => {
      await Promise.all([datastore.stop(), state.stop(), double?.stop()]);
    },
  };
}

interface Disturbed {
  kills: number;
  stops: number;
  brokenLinks: number;
  storeFaults: number;
}

async function disturb(
  world: ProcessFixture,
  links: Links,
  { seed, ends, say }: SoakOptions & { readonly ends: number },
): Promise<Disturbed> {
  const random = seeded(seed);
  const done: Disturbed = { kills: 0, stops: 0, brokenLinks: 0, storeFaults: 0 };
  const publishers = [world.spawn(links.settings), world.spawn(links.settings)];
  let saidAt = performance.now();
  while (performance.now() < ends) {
    await delay(500 + random(3000));
    await disturbOnce(world, links, publishers, random, done);
    if (performance.now() - saidAt < 30_000) continue;
    saidAt = performance.now();
    say(JSON.stringify(done));
  }
  links.datastore.pass();
  links.state.pass();
  if (links.s3 !== null) links.s3.rule = () => null;
  for (const publisher of publishers) {
    publisher.process.kill('SIGTERM');
    const { code, signal } = await publisher.ended;
    if (code !== 0) throw new Error(`a publisher ended by ${code ?? signal}: ${publisher.errors()}`);
  }
  return done;
}

async function disturbOnce(
  world: ProcessFixture,
  links: Links,
  publishers: Child[],
  random: Random,
  done: Disturbed,
): Promise<void> {
  const index = random(publishers.length);
  const publisher = publishers[index];
  if (publisher === undefined) return;
  if (publisher.process.exitCode !== null)
    throw new Error(`a publisher ended by itself: ${publisher.errors()}`);
  const kind = random(6);
  if (kind === 0) {
    publisher.process.kill('SIGKILL');
    await publisher.ended;
    publishers[index] = world.spawn(links.settings);
    done.kills += 1;
  } else if (kind === 1) {
    publisher.process.kill('SIGSTOP');
    await delay(1000 + random(16_000));
    publisher.process.kill('SIGCONT');
    done.stops += 1;
  } else if (kind === 5 && links.s3 !== null) {
    const faults = ['error-500', 'flip-byte', 'lose-answer'] as const;
    links.s3.rule = (method) => {
      if (method === 'GET' || random(4) > 0) return null;
      done.storeFaults += 1;
      return faults[random(faults.length)] ?? null;
    };
    await delay(random(3000));
    links.s3.rule = () => null;
  } else {
    await breakLink(random(2) === 0 ? links.datastore : links.state, random);
    done.brokenLinks += 1;
  }
}

async function breakLink(link: FaultProxy, random: Random): Promise<void> {
  const kind = random(4);
  if (kind === 0) link.reset();
  else if (kind === 1) link.set({ cutAfter: { bytes: random(60_000), direction: 'toClient' }, cutBy: 'fin' });
  else if (kind === 2) link.set({ refuse: true });
  else link.set({ bytesPerSecond: 20_000 });
  await delay(random(3000));
  link.pass();
}

async function judge(world: ProcessFixture, workload: Workload, disturbed: Disturbed): Promise<Soaked> {
  const { tables } = workload.versions;
  await world.sweep(7200);
  const violations = [...workload.reads.violations];
  for (const table of tables) {
    const manifest = await manifestOf(world.store, table);
    violations.push(
      ...(manifest === null ? [`${table}: no manifest`] : await faultsOf(world.store, manifest)),
    );
  }
  const { blob, live, busy } = workload.reads;
  const counts = { commits: workload.commits(), blob, live, busy, ...disturbed, audited: tables.length };
  return { counts, violations, orphans: await world.orphans(tables) };
}
