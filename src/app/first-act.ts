/** The first act with the parts of this process: its publisher, its pools, its metrics, its standing among others. */
import type pg from 'pg';
import { startChange, type Change } from '../change/change.ts';
import type { SweepReport } from '../change/sweep.ts';
import { DumperError } from '../errors.ts';
import type { StabilityTracker } from '../postgres/revision.ts';
import type { Publishing } from './publishing.ts';
import { electSettingsLeader, type StandingOptions } from './settings-leader.ts';
import type { AppContext } from './context.ts';

export interface ChangeParts extends StandingOptions {
  /** Shared with the answers, which see tables at rest as the sweep does. */
  readonly stability: StabilityTracker;
  readonly writePool: pg.Pool | null;
}

/** Open the queue and begin to hear and to work; rejects while the state database cannot be asked. */
export async function startElectedChange(
  context: AppContext,
  publishing: Publishing,
  parts: ChangeParts,
): Promise<Change> {
  if (context.config.DUMPER_ROLE === 'serve') return startAct(context, publishing, parts);
  const standing = await electSettingsLeader(context, publishing, parts);
  try {
    const change = await startAct(context, { ...publishing, ...standing }, parts);
    standing.follow((inForce) => change.setPaused(!inForce));
    return {
      ...change,
      stop: async (graceSeconds) => {
        standing.stop();
        await change.stop(graceSeconds);
      },
    };
  } catch (error) {
    standing.stop();
    throw error;
  }
}

function startAct(
  context: AppContext,
  { state, store, publisher, rights }: Pick<Publishing, 'state' | 'store' | 'publisher' | 'rights'>,
  { stability, writePool }: ChangeParts,
): Promise<Change> {
  const { config, log, profiles, readPool, metrics, now } = context;
  return startChange({
    config,
    log,
    read: readPool,
    write: writePool,
    state,
    store,
    rights,
    profile: () => {
      const profile = profiles.current();
      if (profile === null) throw new DumperError('CKAN_UNAVAILABLE', 'the version of CKAN is not known yet');
      return profile;
    },
    now,
    stability,
    working: config.DUMPER_ROLE !== 'serve',
    publish: (id, request) =>
      publisher.publish(id, { ...request, onProgress: (rows) => request.onProgress(rows) }),
    unpublish: publisher.unpublish,
    onSweep: (report) => tellSweep(context, report),
    onLag: (seconds) => metrics.publicationLagSeconds.observe(seconds),
  });
}

function tellSweep({ metrics, now }: AppContext, report: SweepReport): void {
  for (const [state, tables] of Object.entries(report.states)) metrics.tables.set({ state }, tables);
  metrics.oldestStaleSeconds.set(report.oldestStaleSeconds);
  metrics.sweepSeconds.set(report.seconds);
  metrics.sweepTimestamp.set(now().getTime() / 1000);
}
