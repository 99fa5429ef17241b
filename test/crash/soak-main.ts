/** `npm run soak -- --minutes 10 [--seed 1]`: everything at once for so long; exits 1 at any violation or orphans. */
import { parseArgs } from 'node:util';
import { withServers } from '../world/servers.ts';
import { soak } from './soak.ts';

const { values } = parseArgs({
  options: { minutes: { type: 'string', default: '10' }, seed: { type: 'string', default: '1' } },
});

await withServers(async (s3) => {
  const minutes = Number(values.minutes);
  const soaked = await soak({ minutes, seed: Number(values.seed), s3, say: (line) => console.log(line) });
  for (const [what, count] of Object.entries(soaked.counts)) console.log(`${what.padEnd(12)} ${count}`);
  for (const violation of soaked.violations) console.log(`VIOLATION ${violation}`);
  for (const key of soaked.orphans) console.log(`ORPHAN ${key}`);
  console.log(`${soaked.violations.length} violations, ${soaked.orphans.length} orphans`);
  if (soaked.violations.length + soaked.orphans.length > 0) process.exitCode = 1;
});
