/**
 * A TCP proxy on loopback that breaks a link in the ways links break: delay, throttle, cut after N bytes, reset,
 * blackhole. Switchable while connections are open; what a mode does not name passes unharmed.
 */
import { connect, createServer, type AddressInfo, type Server, type Socket } from 'node:net';
import { setTimeout as delay } from 'node:timers/promises';

export type Direction = 'toTarget' | 'toClient';

export interface Fault {
  /** Each chunk waits this long, in both directions. */
  readonly delayMs?: number;
  /** Bytes a second, in both directions. */
  readonly bytesPerSecond?: number;
  /** Cut a connection (RST both ways, or FIN with `cutBy: 'fin'`) once so many bytes went in this direction. */
  readonly cutAfter?: { readonly bytes: number; readonly direction: Direction };
  readonly cutBy?: 'reset' | 'fin';
  /** Swallow everything; nothing is answered, nothing is closed. */
  readonly blackhole?: boolean;
  /** New connections are refused with a reset. */
  readonly refuse?: boolean;
  /** Change the byte at this offset of the direction's stream. */
  readonly flipByte?: { readonly offset: number; readonly direction: Direction };
}

export interface FaultProxy {
  readonly host: string;
  readonly port: number;
  /** `http://host:port`. */
  readonly url: string;
  /** `url` (of Postgres or HTTP) with host and port replaced by the proxy's. */
  through(url: string): string;
  /** Connections open now. */
  readonly connections: number;
  /** Connections accepted since the start. */
  readonly accepted: number;
  /** Connections broken by a cut since the start. */
  readonly cuts: number;
  /** From now on, for open connections too: this fault. Byte counts of open connections go on. */
  set(fault: Fault): void;
  /** From now on: no fault. What a blackhole swallowed stays lost. */
  pass(): void;
  /** Reset every open connection now. */
  reset(): void;
  stop(): Promise<void>;
}

interface Link {
  readonly client: Socket;
  readonly target: Socket;
}

export async function startFaultProxy(target: { host: string; port: number }): Promise<FaultProxy> {
  const links = new Set<Link>();
  const state = { fault: {} as Fault, accepted: 0, cuts: 0 };
  const server = createServer({ allowHalfOpen: true }, (client) => {
    state.accepted += 1;
    client.on('error', () => undefined);
    if (state.fault.refuse) return void client.resetAndDestroy();
    const link = { client, target: connect({ ...target, allowHalfOpen: true }) };
    links.add(link);
    join(link, state, () => links.delete(link));
  });
  const port = await listen(server);
  return {
    host: '127.0.0.1',
    port,
    url: `http://127.0.0.1:${port}`,
    through: (url) => {
      const made = new URL(url);
      made.hostname = '127.0.0.1';
      made.port = String(port);
      return made.href;
    },
    get connections() {
      return links.size;
    },
    get accepted() {
      return state.accepted;
    },
    get cuts() {
      return state.cuts;
    },
    set: (fault) => {
      state.fault = fault;
    },
    pass: () => {
      state.fault = {};
    },
    reset: () => links.forEach((link) => breakLink(link, 'reset')),
    stop: async () => {
      const closed = new Promise((resolve) => server.close(resolve));
      links.forEach((link) => breakLink(link, 'reset'));
      await closed;
    },
  };
}

function breakLink({ client, target }: Link, by: 'reset' | 'fin'): void {
  for (const socket of [client, target]) {
    if (by === 'reset' && !socket.connecting) socket.resetAndDestroy();
    else socket.destroySoon();
  }
}

function join(link: Link, state: ProxyState, gone: () => void): void {
  const { client, target } = link;
  target.on('error', () => client.resetAndDestroy());
  client.on('error', () => target.destroy());
  let open = 2;
  for (const socket of [client, target]) {
    socket.on('close', () => {
      open -= 1;
      if (open === 0) gone();
    });
  }
  void carry(link, client, target, 'toTarget', state);
  void carry(link, target, client, 'toClient', state);
}

interface ProxyState {
  fault: Fault;
  cuts: number;
}

/** Move one direction's bytes, chunk by chunk, under the fault of the moment. */
async function carry(
  link: Link,
  from: Socket,
  to: Socket,
  direction: Direction,
  state: ProxyState,
): Promise<void> {
  let carried = 0;
  try {
    for await (const chunk of from as AsyncIterable<Buffer>) {
      const { fault } = state;
      if (fault.delayMs) await delay(fault.delayMs);
      const bytes = flipped(chunk, carried, direction, fault);
      const room = fault.cutAfter?.direction === direction ? fault.cutAfter.bytes - carried : Infinity;
      carried += chunk.length;
      if (!state.fault.blackhole) await write(to, bytes.subarray(0, Math.max(0, room)), state);
      if (chunk.length < room) continue;
      state.cuts += 1;
      return breakLink(link, fault.cutBy ?? 'reset');
    }
    if (!state.fault.blackhole) to.end();
  } catch {
    to.destroy();
  }
}

function flipped(chunk: Buffer, carried: number, direction: Direction, { flipByte }: Fault): Buffer {
  const at = flipByte?.direction === direction ? flipByte.offset - carried : -1;
  if (at < 0 || at >= chunk.length) return chunk;
  const copy = Buffer.from(chunk);
  copy[at] = (copy[at] ?? 0) ^ 0x01;
  return copy;
}

async function write(to: Socket, bytes: Buffer, state: ProxyState): Promise<void> {
  const { bytesPerSecond } = state.fault;
  const step = bytesPerSecond ? Math.max(1, Math.ceil(bytesPerSecond / 20)) : bytes.length;
  for (let start = 0; start < bytes.length; start += step) {
    const part = bytes.subarray(start, start + step);
    if (state.fault.bytesPerSecond) await delay((part.length / state.fault.bytesPerSecond) * 1000);
    if (!to.writable) return;
    await new Promise<void>((resolve, reject) => {
      const closed = (): void => reject(new Error('closed'));
      to.once('close', closed);
      to.write(part, (error) => {
        to.removeListener('close', closed);
        if (error) reject(error);
        else resolve();
      });
    });
  }
}

async function listen(server: Server): Promise<number> {
  await new Promise<void>((resolve, reject) => {
    server.once('error', reject);
    server.listen(0, '127.0.0.1', resolve);
  });
  return (server.address() as AddressInfo).port;
}
