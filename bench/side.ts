/**
 * One side of a comparison, in a process of its own: runs it, then prints one JSON line of what it cost.
 *
 * Usage: `node bench/side.ts <side> <JSON of SideInput>`. Wall time covers the work, not the start of the process.
 */
import { sides, type SideInput } from './sides.ts';

const [name = '', input = '{}'] = process.argv.slice(2);
const side = sides[name];
if (side === undefined) throw new Error(`no such side: ${name}`);

const work = await side.prepare(JSON.parse(input) as SideInput);
const cpuBefore = process.cpuUsage();
const started = performance.now();
const { bytes, firstByteSeconds } = await work.run();
const wallSeconds = (performance.now() - started) / 1000;
const cpu = process.cpuUsage(cpuBefore);
const peakRssBytes = process.resourceUsage().maxRSS * 1024;
const others = await work.end();
console.log(
  JSON.stringify({
    wallSeconds,
    cpuSeconds: (cpu.user + cpu.system) / 1_000_000,
    peakRssBytes,
    bytes,
    ...(firstByteSeconds === undefined ? {} : { firstByteSeconds }),
    ...others,
  }),
);
