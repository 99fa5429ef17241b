/** A real Redis, where `redis-server` is installed: on a free loopback port, keeping nothing. */
import { spawn, spawnSync, type ChildProcess } from 'node:child_process';
import { once } from 'node:events';
import { createClient } from 'redis';
import { eventually } from './eventually.ts';
import { freePort } from './free-port.ts';

export interface Redis {
  readonly url: string;
  readonly port: number;
  /** Every key with its text. */
  contents(): Promise<Map<string, string>>;
  set(key: string, text: string, lifeMilliseconds: number): Promise<void>;
  /** Alive and silent, until `thaw`. */
  freeze(): void;
  thaw(): void;
  /** Gone without a word; `start` brings an empty one to the same port. */
  kill(): Promise<void>;
  start(): Promise<void>;
  stop(): Promise<void>;
}

/** Why suites that need a Redis are skipped, or null where they run. */
export const noRedis: string | null =
  spawnSync('redis-server', ['--version']).status === 0 ? null : 'redis-server is not installed';

export async function startRedis(): Promise<Redis> {
  const port = await freePort();
  const url = `redis://127.0.0.1:${port}`;
  let running: ChildProcess | null = null;
  const kill = async (): Promise<void> => {
    if (running === null) return;
    const exited = once(running, 'exit');
    running.kill('SIGKILL');
    await exited;
    running = null;
  };
  const start = async (): Promise<void> => {
    const settings = ['--port', `${port}`, '--bind', '127.0.0.1', '--save', '', '--appendonly', 'no'];
    running = spawn('redis-server', settings, { stdio: 'ignore' });
    await eventually('redis answers', () => asClient(url, (client) => client.ping()), { seconds: 25 });
  };
  await start();
  return {
    url,
    port,
    contents: () =>
      asClient(url, async (client) => {
        const found = new Map<string, string>();
        for (const key of await client.keys('*')) found.set(key, (await client.get(key)) ?? '');
        return found;
      }),
    set: (key, text, lifeMilliseconds) =>
      asClient(url, async (client) => {
        await client.set(key, text, { PX: lifeMilliseconds });
      }),
    freeze: () => void running?.kill('SIGSTOP'),
    thaw: () => void running?.kill('SIGCONT'),
    kill,
    start,
    stop: kill,
  };
}

function open(url: string) {
  return createClient({ url, socket: { reconnectStrategy: false } }).on('error', () => undefined);
}

async function asClient<Value>(
  url: string,
  work: (client: ReturnType<typeof open>) => Promise<Value>,
): Promise<Value> {
  const client = open(url);
  await client.connect();
  try {
    return await work(client);
  } finally {
    client.destroy();
  }
}
