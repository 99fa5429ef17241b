/** P4: a linearizability check over HTTP, in the exact tier, on the Postgres of choice. */
import { startPostgres } from '../world/postgres.ts';
import { install } from './installation.ts';
import { noticeSecret, openStorm, type Storm } from './storm.ts';

export interface LinearizabilityOptions {
  /** Answers to check. */
  readonly reads: number;
  readonly seed: number;
  /** A server of its own of this version; without it the run's. */
  readonly postgres?: 15 | 18;
}

export async function linearizability(
  options: LinearizabilityOptions,
): Promise<{ reads: Storm['reads']; commits: number }> {
  const server = options.postgres === undefined ? null : await startPostgres({ version: options.postgres });
  const world = await install({
    settings: { DUMPER_NOTICE_SECRET: noticeSecret, DUMPER_LIVE_SLOTS: '16', DUMPER_PUBLISH_SLOTS: '4' },
    ...(server === null ? {} : { server: server.adminUrl }),
  });
  try {
    const storm = await openStorm(world, {
      tables: 12,
      rows: 30,
      writers: 4,
      readers: 5,
      withDdl: true,
      seed: options.seed,
      restMilliseconds: 2500,
    });
    const { base } = await world.serve();
    await storm.run([base], () => storm.reads.blob + storm.reads.live >= options.reads);
    await storm.settle(base);
    return { reads: storm.reads, commits: storm.commits() };
  } finally {
    await world.close();
    await server?.stop();
  }
}
