/**
 * Ends a process whose event loop stands still: a process that hangs answers nothing, not even its health check, and a
 * front waits for it in vain (promise P21, the rest goes on). Whoever supervises the process starts it again.
 *
 * The main thread raises a count while its loop runs; a thread looks at the count. It counts its own looks and not a
 * clock, so that a machine that slept, or a process that was stopped and goes on, is not taken for one that hangs.
 */
import { Worker } from 'node:worker_threads';

interface Watchdog {
  stop(): Promise<void>;
}

const lookMilliseconds = 1000;

/** Plain text, since a thread that loads a module of its own costs 2 MiB more. */
const watchText = `
  const { workerData: { beats, looks, pause, line } } = require('node:worker_threads');
  const count = new Int32Array(beats);
  const never = new Int32Array(new SharedArrayBuffer(4));
  let last = -1;
  for (let idle = 0; idle < looks;) {
    Atomics.wait(never, 0, 0, pause);
    const now = Atomics.load(count, 0);
    idle = now === last ? idle + 1 : 0;
    last = now;
  }
  require('node:fs').writeSync(2, line);
  process.kill(process.pid, 'SIGKILL');
`;

/** End the process (SIGKILL, after one line on standard error) when its loop stands for about `seconds`; 0: never. */
export function startWatchdog(seconds: number, onFault: (error: unknown) => void): Watchdog {
  if (seconds === 0) return { stop: async () => undefined };
  const beats = new SharedArrayBuffer(4);
  const count = new Int32Array(beats);
  const timer = setInterval(() => Atomics.add(count, 0, 1), lookMilliseconds / 2).unref();
  const msg = `the event loop stood still for ${seconds} seconds; the process ends`;
  const worker = new Worker(watchText, {
    eval: true,
    workerData: {
      beats,
      looks: seconds,
      pause: lookMilliseconds,
      line: `${JSON.stringify({ level: 'fatal', msg })}\n`,
    },
    // Its own memory is about 11 MiB, most of it Node's.
    resourceLimits: { maxOldGenerationSizeMb: 8, maxYoungGenerationSizeMb: 1, stackSizeMb: 1 },
    execArgv: [],
    env: {},
    trackUnmanagedFds: false,
  });
  worker.unref();
  // A watchdog that fails must not end what it watches.
  worker.on('error', onFault);
  return {
    stop: async () => {
      clearInterval(timer);
      await worker.terminate();
    },
  };
}
