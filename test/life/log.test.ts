/** The log of the running process: every line is out at its end, and nobody who stops reading it stops the service. */
import { afterEach, beforeEach, expect, test, vi } from 'vitest';
import { eventually } from '../world/eventually.ts';
import { type Program, type ServiceFixture, serviceFixture, startProgram } from '../world/service.ts';

// processes are started, which takes long on a loaded machine
vi.setConfig({ testTimeout: 120_000 });

let world: ServiceFixture;
let program: Program;

beforeEach(async () => {
  world = await serviceFixture();
  program = await startProgram(world.settings);
  world.atEnd(async () => {
    program.child.kill('SIGKILL');
    await program.exited;
  });
});
afterEach(() => world.end());

test('P20 what was logged last is written before the process ends', async () => {
  const answer = await fetch(`${program.base}/healthz`, { headers: { 'X-Request-ID': 'the-last-one' } });
  await answer.text();
  program.child.kill('SIGTERM');
  expect(await program.exited).toBe(0);
  await eventually('the last line is read', () => program.lines().at(-1)?.['msg'] === 'stopped');
  expect(program.lines().filter(({ request }) => request === 'the-last-one')).toHaveLength(1);
});

test('P12 a reader of the log that has stopped holds up no answer', async () => {
  program.child.stderr?.pause();
  // more lines than a pipe and the stream's own buffer hold
  for (let asked = 0; asked < 3000; asked += 1) {
    const answer = await fetch(`${program.base}/healthz`);
    await answer.text();
    expect(answer.status).toBe(200);
  }
  program.child.stderr?.resume();
  program.child.kill('SIGTERM');
  expect(await program.exited).toBe(0);
  await eventually('the last line is read', () => program.lines().at(-1)?.['msg'] === 'stopped');
  expect(program.lines().filter(({ path }) => path === '/healthz')).toHaveLength(3000);
});
