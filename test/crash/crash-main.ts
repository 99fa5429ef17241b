/**
 * `npm run crash [-- --only P1,P4]`: the long forms of P1 to P5, with their counts; exits 1 when a promise is broken.
 */
import { parseArgs } from 'node:util';
import { recordCount } from '../world/counts.ts';
import type { S3Server } from '../world/s3.ts';
import { cutFormats, cutPostgres, faultS3, lastRowErrors } from './cuts.ts';
import { oneInstant } from './instants.ts';
import { killPublishers } from './kills.ts';
import { linearizability } from './linearizability.ts';
import { withServers } from '../world/servers.ts';
import { seeded } from './random.ts';
import { threeReplicas } from './replicas.ts';

const { values } = parseArgs({ options: { only: { type: 'string', default: 'P1,P2,P3,P4,P5' } } });

function tell(promise: string, what: string, count: number): void {
  recordCount(promise, what, count);
  console.log(`${promise}  ${String(count).padStart(7)}  ${what}`);
}

function refuse(faults: readonly string[]): void {
  if (faults.length > 0) throw new Error(faults.join('\n'));
}

const longForms: Readonly<Record<string, (s3: S3Server | null) => Promise<void>>> = {
  P1: async (s3) => {
    for (const format of cutFormats) {
      const { met } = await cutPostgres(format, 100, seeded(format.length));
      tell('P1', `cuts of the Postgres link, ${format}`, met);
    }
    tell('P1', 'SQL errors in the last row', (await lastRowErrors(40)).met);
    if (s3 !== null) tell('P1', 'faults of the S3 link', (await faultS3(s3, 60, seeded(1))).met);
  },
  P2: async (s3) => {
    for (const store of s3 === null ? [null] : [null, s3]) {
      const where = store === null ? 'directory' : 'S3';
      const randomKills = store === null ? 100 : 30;
      const killed = await killPublishers({
        randomKills,
        killsAtEachStep: 3,
        seed: randomKills,
        ...(store === null ? {} : { s3: store }),
      });
      refuse([...killed.reads.violations, ...killed.orphans]);
      tell('P2', `kills at named steps, ${where}`, killed.atSteps);
      tell('P2', `kills at random times, ${where}`, killed.atRandom);
      tell('P2', `downloads meanwhile, ${where}`, killed.reads.blob + killed.reads.live);
      tell('P7', `tables swept clean, ${where}`, killed.audited);
    }
  },
  P3: async () => {
    const { rounds, changes } = await oneInstant(400, 33);
    tell('P3', 'publications parsed in every format', rounds);
    tell('P3', 'transactions meanwhile', changes);
  },
  P4: async () => {
    for (const postgres of [15, 18] as const) {
      const { reads, commits } = await linearizability({ reads: 10_000, seed: postgres, postgres });
      refuse(reads.violations);
      tell('P4', `answers from blobs, Postgres ${postgres}`, reads.blob);
      tell('P4', `live answers, Postgres ${postgres}`, reads.live);
      tell('P4', `commits by four writers, Postgres ${postgres}`, commits);
    }
  },
  P5: async () => {
    const seen = await threeReplicas({ kills: 15, stops: 4, stopSeconds: 17, seed: 55 });
    refuse([...seen.faults, ...seen.reads.violations]);
    tell('P5', 'switches by three replicas, each above the one before', seen.switches);
    tell('P5', 'replicas killed or stopped', seen.kills + seen.stops);
  },
};

await withServers(async (s3) => {
  for (const promise of values.only.split(',')) {
    const run = longForms[promise];
    if (run === undefined) throw new Error(`no long form of ${promise}`);
    try {
      await run(s3);
    } catch (error) {
      console.log(`${promise}  BROKEN ${error instanceof Error ? error.stack : String(error)}`);
      process.exitCode = 1;
    }
  }
});
