/** P4: a linearizability check over HTTP, in the exact tier, on the Postgres of choice. */
import { startPostgres } from '../world/postgres.ts';
import { processFixture } from './processes.ts';
import { noticeSecret, openWorkload, type Workload } from './workload.ts';

export interface LinearizabilityOptions {
  /** Answers to check. */
  readonly reads: number;
  readonly seed: number;
  /** A server of its own of this version; without it the run's. */
  readonly postgres?: 15 | 18;
}

export async function linearizability(
  options: LinearizabilityOptions,
): Promise<{ reads: Workload['reads']; commits: number }> {
  const server = options.postgres === undefined ? null : await startPostgres({ version: options.postgres });
  const world = await processFixture({
    settings: { DUMPER_NOTICE_SECRET: noticeSecret, DUMPER_LIVE_SLOTS: '16', DUMPER_PUBLISH_SLOTS: '4' },
    ...(server === null ? {} : { server: server.adminUrl }),
  });
  try {
    const workload = await openWorkload(world, {
      tables: 12,
      rows: 30,
      writers: 4,
      readers: 5,
      withDdl: true,
      seed: options.seed,
      restMilliseconds: 2500,
    });
    const { base } = await world.start();
    await workload.run([base], () => workload.reads.blob + workload.reads.live >= options.reads);
    await workload.settle(base);
    return { reads: workload.reads, commits: workload.commits() };
  } finally {
    await world.end();
    await server?.stop();
  }
}
