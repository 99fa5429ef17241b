/** `npm run soak -- --minutes 10 [--seed 1]`: everything at once for so long; exits 1 at any violation or litter. */
import { parseArgs } from 'node:util';
import { inOwnWorld } from './own-world.ts';
import { soak } from './soak.ts';

const { values } = parseArgs({
  options: { minutes: { type: 'string', default: '10' }, seed: { type: 'string', default: '1' } },
});

await inOwnWorld(async (s3) => {
  const minutes = Number(values.minutes);
  const soaked = await soak({ minutes, seed: Number(values.seed), s3, say: (line) => console.log(line) });
  for (const [what, count] of Object.entries(soaked.counts)) console.log(`${what.padEnd(12)} ${count}`);
  for (const violation of soaked.violations) console.log(`VIOLATION ${violation}`);
  for (const key of soaked.litter) console.log(`LITTER ${key}`);
  console.log(`${soaked.violations.length} violations, ${soaked.litter.length} pieces of litter`);
  if (soaked.violations.length + soaked.litter.length > 0) process.exitCode = 1;
});
