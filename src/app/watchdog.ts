/**
 * Ends a process whose event loop stands still: a process that hangs answers nothing, not even its health check, and a
 * front waits for it in vain (promise P21, the rest goes on). Whoever supervises the process starts it again.
 *
 * This file is two things: `startWatchdog` in the main thread, which counts up while the loop runs, and the thread that
 * watches the count. The thread counts its own looks and not a clock, so that a machine that slept, or a process that
 * was stopped and goes on, is not taken for one that hangs.
 */
import { writeSync } from 'node:fs';
import { Worker, isMainThread, workerData } from 'node:worker_threads';

export interface Watchdog {
  stop(): Promise<void>;
}

interface WatchdogData {
  readonly watchdog: true;
  /** One 32-bit count, raised by the main thread. */
  readonly beats: SharedArrayBuffer;
  readonly looks: number;
}

const lookMilliseconds = 1000;

/** End the process (SIGKILL, after one line on standard error) when its loop stands for about `seconds`; 0: never. */
export function startWatchdog(seconds: number, onFault: (error: unknown) => void): Watchdog {
  if (seconds === 0) return { stop: async () => undefined };
  const beats = new SharedArrayBuffer(4);
  const count = new Int32Array(beats);
  const timer = setInterval(() => Atomics.add(count, 0, 1), lookMilliseconds / 2).unref();
  const data: WatchdogData = { watchdog: true, beats, looks: seconds };
  const worker = new Worker(new URL(import.meta.url), {
    workerData: data,
    resourceLimits: { maxOldGenerationSizeMb: 32, maxYoungGenerationSizeMb: 4 },
    execArgv: [],
  });
  worker.unref();
  // A watchdog that fails must not end what it watches.
  worker.on('error', (error) => onFault(error));
  return {
    stop: async () => {
      clearInterval(timer);
      await worker.terminate();
    },
  };
}

function watch({ beats, looks }: WatchdogData): void {
  const count = new Int32Array(beats);
  const never = new Int32Array(new SharedArrayBuffer(4));
  let last = -1;
  for (let idle = 0; idle < looks;) {
    Atomics.wait(never, 0, 0, lookMilliseconds);
    const now = Atomics.load(count, 0);
    idle = now === last ? idle + 1 : 0;
    last = now;
  }
  const line = { level: 'fatal', msg: `the event loop stood for ${looks} seconds; the process ends` };
  writeSync(2, `${JSON.stringify(line)}\n`);
  process.kill(process.pid, 'SIGKILL');
}

const given = workerData as Partial<WatchdogData> | null;
if (!isMainThread && given?.watchdog === true) watch(given as WatchdogData);
