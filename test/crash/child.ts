/**
 * The service in a process of its own, from the environment, telling each step of its publications; killed by itself
 * at `CRASH_AT=<step>:<how many times before>`.
 */
import { startService } from '../../src/app/service.ts';
import { readConfig } from '../../src/config/config.ts';
import { createLog } from '../../src/log.ts';

const [crashStep, times = '0'] = (process.env['CRASH_AT'] ?? '').split(':');
let left = Number(times);
const config = readConfig(process.env, ['read', 'publish']);
const service = await startService(process.env, config, {
  log: createLog(config.DUMPER_LOG_LEVEL),
  onStep: (id, step) => {
    process.stdout.write(`${id} ${step}\n`);
    if (step !== crashStep) return;
    if (left === 0) process.kill(process.pid, 'SIGKILL');
    left -= 1;
  },
});
process.stdout.write(`listening ${service.port}\n`);
process.once('SIGTERM', () => void service.stop().then(() => process.exit(0)));
