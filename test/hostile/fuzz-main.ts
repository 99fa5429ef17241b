/** `npm run fuzz [-- --requests N --seed N]`: hostile questions against a running service; exit 1 on any fault. */
import { parseArgs } from 'node:util';
import { fuzz } from './fuzz.ts';

const { values } = parseArgs({
  options: { requests: { type: 'string', default: '100000' }, seed: { type: 'string', default: '20261121' } },
});
const { faults, shapes, ...counts } = await fuzz(Number(values.requests), Number(values.seed));
console.log(
  JSON.stringify({
    seed: Number(values.seed),
    ...counts,
    shapes: shapes.length,
    faults: faults.length,
  }),
);
for (const shape of shapes) console.log(`statement: ${shape}`);
for (const fault of faults.slice(0, 40)) console.log(fault);
process.exit(faults.length === 0 ? 0 : 1);
