/** P13 what one client may hold of the listening socket is bounded, and what was refused is counted. */
import { connect, type Socket } from 'node:net';
import { afterEach, expect, test } from 'vitest';
import { listenHttp } from '../../src/app/http-server.ts';
import { createMetrics } from '../../src/metrics.ts';

const closing: (() => Promise<void>)[] = [];
afterEach(async () => {
  for (const close of closing.splice(0).toReversed()) await close();
});

async function serve(maxConnections: number) {
  const metrics = createMetrics();
  const server = await listenHttp((_, response) => void response.end('ok'), {
    host: '127.0.0.1',
    port: 0,
    maxConnections,
    metrics,
  });
  closing.push(() => server.drain(0, () => undefined));
  const refused = async (cause: string): Promise<number> =>
    (await metrics.refusedConnections.get()).values.find(({ labels }) => labels.cause === cause)?.value ?? 0;
  return { port: server.port, refused };
}

function open(port: number): Socket {
  const socket = connect(port, '127.0.0.1');
  socket.on('error', () => undefined);
  closing.push(async () => void socket.destroy());
  return socket;
}

/** False where the connection is closed instead, in whatever way. */
function answered(socket: Socket): Promise<boolean> {
  socket.write('GET / HTTP/1.1\r\nHost: a\r\n\r\n');
  return new Promise((resolve) => {
    socket.once('data', () => resolve(true)).once('close', () => resolve(false));
  });
}

const closed = (socket: Socket): Promise<unknown> => new Promise((resolve) => socket.once('close', resolve));

test('one connection more than may be is closed, and there is room again when one ends', async () => {
  const { port, refused } = await serve(2);
  const [first, second] = [open(port), open(port)];
  expect([await answered(first), await answered(second)]).toEqual([true, true]);
  expect(await answered(open(port))).toBe(false);
  expect(await refused('too_many')).toBe(1);
  expect(await answered(second)).toBe(true);
  first.end();
  await closed(first);
  expect(await answered(open(port))).toBe(true);
  expect(await refused('pipelining')).toBe(0);
});

test('a connection that pipelines too many is closed', async () => {
  const { port, refused } = await serve(2);
  const socket = open(port);
  socket.write('GET / HTTP/1.1\r\nHost: a\r\n\r\n'.repeat(5000));
  socket.resume();
  await closed(socket);
  expect(await refused('pipelining')).toBe(1);
  expect(await answered(open(port))).toBe(true);
});
