/** Pipelined requests of one connection: one after the other, in order, a bounded number (promise P13). */
import http from 'node:http';
import { connect, type AddressInfo } from 'node:net';
import { once } from 'node:events';
import { setTimeout as delay } from 'node:timers/promises';
import { afterEach, describe, expect, test } from 'vitest';
import { mostWaitingRequests, oneByOne } from '../../src/app/pipelining.ts';

const closing: (() => Promise<void>)[] = [];
afterEach(async () => {
  for (const close of closing.splice(0)) await close();
});

interface Seen {
  readonly paths: string[];
  atOnce: number;
  most: number;
  refused: number;
}

/** A server whose answers take a few turns of the loop each. */
async function serve(): Promise<{ readonly port: number; readonly seen: Seen }> {
  const seen: Seen = { paths: [], atOnce: 0, most: 0, refused: 0 };
  const answer = async (request: http.IncomingMessage, response: http.ServerResponse): Promise<void> => {
    seen.paths.push(request.url ?? '');
    seen.atOnce += 1;
    seen.most = Math.max(seen.most, seen.atOnce);
    await delay(1);
    seen.atOnce -= 1;
    response.end(`${request.url}\n`);
  };
  const handler = oneByOne(
    (request, response) => void answer(request, response),
    () => {
      seen.refused += 1;
    },
  );
  const server = http.createServer(handler).listen(0, '127.0.0.1');
  await once(server, 'listening');
  closing.push(async () => {
    server.closeAllConnections();
    server.close();
    await once(server, 'close');
  });
  return { port: (server.address() as AddressInfo).port, seen };
}

function requests(count: number): string {
  return Array.from({ length: count }, (_, index) => `GET /${index} HTTP/1.1\r\nHost: a\r\n\r\n`).join('');
}

/** What comes back until as many answers are there, or until the connection is reset. */
async function pipeline(port: number, count: number): Promise<string[] | 'reset'> {
  const socket = connect(port, '127.0.0.1');
  let text = '';
  const ended = Promise.withResolvers<string[] | 'reset'>();
  socket.on('error', () => ended.resolve('reset'));
  socket.on('close', () => ended.resolve('reset'));
  socket.on('data', (chunk) => {
    text += chunk.toString('latin1');
    const bodies = [...text.matchAll(/^\/(\d+)\r?$/gm)].map((match) => match[1] ?? '');
    if (bodies.length === count) ended.resolve(bodies);
  });
  socket.write(requests(count));
  const answered = await ended.promise;
  socket.destroy();
  return answered;
}

describe('P13 pipelined requests of one connection', () => {
  test.each([1, 2, 10, mostWaitingRequests + 1])('%i are answered in order, one at a time', async (count) => {
    const { port, seen } = await serve();
    const expected = Array.from({ length: count }, (_, index) => String(index));
    expect(await pipeline(port, count)).toEqual(expected);
    expect(seen).toMatchObject({ paths: expected.map((path) => `/${path}`), most: 1, refused: 0 });
  });

  test('more than may wait are refused by a reset, and cost the work of one', async () => {
    const { port, seen } = await serve();
    expect(await pipeline(port, 20_000)).toBe('reset');
    expect(seen).toMatchObject({ most: 1, refused: 1 });
    expect(seen.paths.length).toBeLessThanOrEqual(1);
  });

  test('a client that leaves takes its waiting requests with it', async () => {
    const { port, seen } = await serve();
    const socket = connect(port, '127.0.0.1');
    await once(socket, 'connect');
    socket.write(requests(20));
    await once(socket, 'data');
    socket.destroy();
    // A later client is answered only after the server has read the end of the first.
    expect(await pipeline(port, 1)).toEqual(['0']);
    expect(seen.paths.length).toBeLessThan(22);
    expect(seen.most).toBeLessThanOrEqual(2);
  });

  test('requests that wait for their answers are not slowed down or refused', async () => {
    const { port, seen } = await serve();
    const agent = new http.Agent({ keepAlive: true, maxSockets: 1 });
    for (let count = 0; count < 50; count += 1) {
      const request = http.get({ port, host: '127.0.0.1', agent, path: `/${count}` });
      const [response] = (await once(request, 'response')) as [http.IncomingMessage];
      await response.toArray();
    }
    agent.destroy();
    expect(seen).toMatchObject({ refused: 0, most: 1 });
    expect(seen.paths).toHaveLength(50);
  });
});
