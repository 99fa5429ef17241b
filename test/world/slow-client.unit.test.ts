/** The slow client reads at its pace and tells a whole answer from a broken one. */
import { createServer, type Server } from 'node:http';
import type { AddressInfo } from 'node:net';
import { afterEach, beforeEach, expect, test } from 'vitest';
import { eventually } from './eventually.ts';
import { startSlowClient } from './slow-client.ts';

let server: Server;
let url: string;

beforeEach(async () => {
  server = createServer((asked, answer) => {
    if (asked.url === '/long') return void answer.end(Buffer.alloc(20_000_000));
    if (asked.url === '/cut') {
      answer.write('some');
      return void setImmediate(() => answer.socket?.resetAndDestroy());
    }
    if (asked.url === '/torn') {
      answer.write('some');
      return void setImmediate(() => answer.destroy());
    }
    answer.write('chunk');
    answer.end('ed');
  });
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  url = `http://127.0.0.1:${(server.address() as AddressInfo).port}`;
});
afterEach(async () => {
  const closed = new Promise((resolve) => server.close(resolve));
  server.closeAllConnections();
  await closed;
});

test('a whole answer is whole, by both versions', async () => {
  for (const httpVersion of ['1.0', '1.1'] as const) {
    const client = startSlowClient(`${url}/`, { httpVersion });
    expect(await client.ended).toMatchObject({ kind: 'whole' });
    expect(client.status).toBe(200);
  }
});

test('a reset is broken, and so is a torn chunked answer; a torn answer looks whole by HTTP/1.0', async () => {
  expect((await startSlowClient(`${url}/cut`).ended).kind).toBe('broken');
  expect((await startSlowClient(`${url}/cut`, { httpVersion: '1.0' }).ended).kind).toBe('broken');
  expect((await startSlowClient(`${url}/torn`).ended).kind).toBe('broken');
  expect((await startSlowClient(`${url}/torn`, { httpVersion: '1.0' }).ended).kind).toBe('whole');
});

test('a slow reader reads slowly, and goes on when it is told to', async () => {
  const client = startSlowClient(`${url}/long`, { bytesPerSecond: 2000 });
  await eventually('a little was read', () => client.bytes > 300);
  expect(client.bytes).toBeLessThan(1_000_000);
  client.resume();
  expect(await client.ended).toMatchObject({ kind: 'whole' });
  expect(client.bytes).toBeGreaterThan(20_000_000);
});

test('a stalled reader reads nothing, and may leave', async () => {
  const client = startSlowClient(`${url}/long`, { bytesPerSecond: 0 });
  await eventually('the server has the request', () => server.listening && client.bytes === 0);
  client.leave();
  expect(await client.ended).toMatchObject({ kind: 'broken' });
});
