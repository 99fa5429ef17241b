/**
 * A process with a watchdog of one second. It writes `ready`, and hangs when it is told to on standard input; else it goes
 * on until `stop`, then ends by itself.
 */
import { startWatchdog } from '../../src/app/watchdog.ts';

const watchdog = startWatchdog(1, (error) => {
  throw error;
});
process.stdout.write('ready\n');
process.stdin.on('data', (chunk: Buffer) => {
  const word = chunk.toString().trim();
  if (word === 'hang') for (;;);
  if (word === 'stop') void watchdog.stop().then(() => process.stdin.destroy());
  else process.stdout.write(`${word}\n`);
});
