/**
 * P13 one client that sends requests without end and reads no answer costs the others nothing: 1.9 MB of pipelined
 * requests on one connection, then on fifty, against a service with a small heap.
 */
import { once } from 'node:events';
import { readFileSync } from 'node:fs';
import http from 'node:http';
import { connect, type Socket } from 'node:net';
import { afterAll, beforeAll, expect, test } from 'vitest';
import { recordCount } from '../world/counts.ts';
import { eventually } from '../world/eventually.ts';
import { serviceFixture, startProgram, type Program, type ServiceFixture } from '../world/service.ts';

const table = 'wanted';
const bytesOfRequests = 1_900_000;
const paths = ['/status', '/', `/datastore/dump/${table}?limit=5`, '/metrics', `/datastore/dump/${table}`];
const requests = paths.map((path) => `GET ${path} HTTP/1.1\r\nHost: portal\r\n\r\n`).join('');
const attack = requests.repeat(Math.ceil(bytesOfRequests / requests.length));

let world: ServiceFixture;
let program: Program;
const sockets: Socket[] = [];

beforeAll(async () => {
  world = await serviceFixture();
  await world.createTable(table, 1000);
  program = await startProgram({
    ...world.settings,
    NODE_OPTIONS: '--max-old-space-size=192',
  });
  world.atEnd(async () => {
    for (const socket of sockets) socket.destroy();
    program.child.kill('SIGKILL');
    await program.exited;
  });
  await eventually('published', async () => (await redirect(new http.Agent())) === 302, { seconds: 50 });
}, 120_000);
afterAll(() => world?.end());

async function get(path: string, agent: http.Agent): Promise<{ status: number | undefined; text: string }> {
  const [response] = (await once(http.get(`${program.base}${path}`, { agent }), 'response')) as [
    http.IncomingMessage,
  ];
  const text = Buffer.concat((await response.toArray()) as Buffer[]).toString();
  return { status: response.statusCode, text };
}

const redirect = async (agent: http.Agent): Promise<number | undefined> =>
  (await get(`/datastore/dump/${table}`, agent)).status;

/** Connects, sends all at once and reads nothing. */
function sendAndNeverRead(): void {
  const socket = connect({ port: Number(new URL(program.base).port), host: '127.0.0.1' });
  socket.on('error', () => undefined);
  socket.pause();
  socket.write(attack);
  sockets.push(socket);
}

async function refused(agent: http.Agent): Promise<number> {
  const { text } = await get('/metrics', agent);
  return Number(/refused_connections_total\{cause="pipelining"\} (\d+)/.exec(text)?.[1] ?? 0);
}

const peakOf = (pid: number): number =>
  Number(/VmHWM:\s+(\d+)/.exec(readFileSync(`/proc/${pid}/status`, 'utf8'))?.[1]) / 1024;

test.each([1, 50])(
  'P13 %i connections of pipelined requests that are never read: redirects go on',
  async (count) => {
    const agent = new http.Agent({ keepAlive: true, maxSockets: 1 });
    const before = await eventually('metrics', async () => ({ refused: await refused(agent) }));
    for (let opened = 0; opened < count; opened += 1) sendAndNeverRead();
    let redirects = 0;
    await eventually(
      'every one of them is refused, while another client is answered',
      async () => {
        expect(await redirect(agent)).toBe(302);
        redirects += 1;
        return redirects >= 100 && (await refused(agent)) >= before.refused + count;
      },
      { seconds: 90 },
    );
    expect(program.child.exitCode).toBeNull();
    expect(program.child.signalCode).toBeNull();
    agent.destroy();
    const peak = Math.round(peakOf(program.child.pid ?? 0));
    console.log(
      `${count} connections of ${attack.length} bytes: ${redirects} redirects, at most ${peak} MiB`,
    );
    recordCount('P13', `redirects beside ${count} connections of pipelined requests`, redirects);
    // the heap's limit, code, buffers
    expect(peak).toBeLessThan(512);
  },
  120_000,
);
