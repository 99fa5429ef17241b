/** The proxy breaks links as it says, for a plain echo server. */
import { once } from 'node:events';
import { connect, createServer, type AddressInfo, type Socket } from 'node:net';
import { afterEach, beforeEach, expect, test } from 'vitest';
import { eventually } from './eventually.ts';
import { startFaultProxy, type FaultProxy } from './fault-proxy.ts';

const echo = createServer((socket) => {
  socket.on('error', () => undefined);
  socket.on('data', (chunk) => socket.write(chunk));
  socket.on('end', () => socket.end());
});
let proxy: FaultProxy;

beforeEach(async () => {
  await new Promise<void>((resolve) => echo.listen(0, '127.0.0.1', resolve));
  proxy = await startFaultProxy({ host: '127.0.0.1', port: (echo.address() as AddressInfo).port });
});
afterEach(async () => {
  await proxy.stop();
  await new Promise((resolve) => echo.close(resolve));
});

async function caller(): Promise<{ socket: Socket; got: () => string; error: () => Error | null }> {
  const socket = connect(proxy.port, proxy.host);
  let text = '';
  let error: Error | null = null;
  socket.on('data', (chunk: Buffer) => (text += chunk.toString()));
  socket.on('error', (seen) => (error = seen));
  await once(socket, 'connect');
  return { socket, got: () => text, error: () => error };
}

function closed(socket: Socket): Promise<unknown> {
  return new Promise((resolve) => socket.once('close', resolve));
}

test('bytes pass, and an end on one side becomes an end on the other', async () => {
  const { socket, got } = await caller();
  socket.end('hello');
  await closed(socket);
  expect(got()).toBe('hello');
  await eventually('the link is gone', () => proxy.connections === 0);
});

test('a cut gives the bytes before it, then a reset', async () => {
  proxy.set({ cutAfter: { bytes: 3, direction: 'toTarget' } });
  const { socket, error } = await caller();
  socket.write('hello');
  await closed(socket);
  expect(error()).toMatchObject({ code: 'ECONNRESET' });
  expect(proxy.cuts).toBe(1);
});

test('a flipped byte arrives changed', async () => {
  proxy.set({ flipByte: { offset: 1, direction: 'toTarget' } });
  const { socket, got } = await caller();
  socket.end('aaa');
  await closed(socket);
  expect(got()).toBe('a`a');
});

test('a blackhole swallows, also on open connections, until the reset', async () => {
  const { socket, got, error } = await caller();
  socket.write('one');
  await eventually('the echo', () => got() === 'one');
  proxy.set({ blackhole: true });
  socket.write('two');
  const other = await caller();
  proxy.pass();
  other.socket.end('three');
  await eventually('the other echo', () => other.got() === 'three');
  proxy.reset();
  await closed(socket);
  expect([got(), error()]).toMatchObject(['one', { code: 'ECONNRESET' }]);
});

test('a throttled link is slow, and a refused one fails at once', async () => {
  proxy.set({ bytesPerSecond: 1000 });
  const { socket, got } = await caller();
  const begin = performance.now();
  socket.end('x'.repeat(200));
  await closed(socket);
  expect(got().length).toBe(200);
  expect(performance.now() - begin).toBeGreaterThan(190);
  proxy.set({ refuse: true });
  const refused = connect(proxy.port, proxy.host);
  const error = await new Promise((resolve) => refused.on('error', resolve));
  expect(error).toMatchObject({ code: 'ECONNRESET' });
});
