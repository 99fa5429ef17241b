/** P21 a process whose event loop stands still ends, and only such a one. */
import { spawn, type ChildProcessWithoutNullStreams } from 'node:child_process';
import { once } from 'node:events';
import { readFileSync } from 'node:fs';
import path from 'node:path';
import { afterEach, beforeEach, expect, test } from 'vitest';
import { eventually } from '../world/eventually.ts';

let child: ChildProcessWithoutNullStreams;
let exited: Promise<unknown[]>;
let written: string;
let errors: string;

beforeEach(async () => {
  child = spawn(process.execPath, [path.join(import.meta.dirname, 'hanging-child.ts')]);
  exited = once(child, 'exit');
  written = '';
  errors = '';
  child.stdout.on('data', (chunk: Buffer) => (written += chunk.toString()));
  child.stderr.on('data', (chunk: Buffer) => (errors += chunk.toString()));
  await eventually('it is ready', () => written.includes('ready'), { seconds: 20 });
});
afterEach(async () => {
  child.kill('SIGKILL');
  await exited;
});

async function answers(word: string): Promise<void> {
  child.stdin.write(`${word}\n`);
  await eventually(`it says ${word}`, () => written.includes(word), { seconds: 20 });
}

/** Waits of its main thread: a timer of the watchdog ends one every half second. */
function waitsOf(pid: number): number {
  const status = readFileSync(`/proc/${pid}/status`, 'utf8');
  return Number(/^voluntary_ctxt_switches:\s+(\d+)/m.exec(status)?.[1]);
}

test('P21 one that hangs is killed, with one line that says why', async () => {
  child.stdin.write('hang\n');
  expect(await exited).toEqual([null, 'SIGKILL']);
  expect(
    errors
      .trim()
      .split('\n')
      .map((line) => JSON.parse(line) as unknown),
  ).toEqual([{ level: 'fatal', msg: 'the event loop stood still for 1 seconds; the process ends' }]);
});

test('one whose loop runs goes on, and ends by itself when its watchdog is stopped', async () => {
  const before = waitsOf(child.pid ?? 0);
  // more of its own half seconds than the watchdog bears
  await eventually('its loop has run for a while', () => waitsOf(child.pid ?? 0) >= before + 6, {
    seconds: 30,
  });
  await answers('still-there');
  child.stdin.write('stop\n');
  expect(await exited).toEqual([0, null]);
  expect(errors).toBe('');
});

test('one that was stopped and goes on is not taken for one that hangs', async () => {
  child.kill('SIGSTOP');
  const stoppedAt = performance.now();
  await eventually('longer than the watchdog bears', () => performance.now() - stoppedAt > 2500);
  child.kill('SIGCONT');
  await answers('awake');
  await answers('and-later');
  expect(errors).toBe('');
});
