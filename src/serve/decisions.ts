/**
 * Permission decisions remembered for a moment: in this process, and in Redis where several replicas share them.
 *
 * A decision carries the moment it ends, so that no copy of it lives longer than the first (promise P10). Keys hold a
 * keyed hash of the caller, never a credential. Redis is a convenience: slow or gone, it is left out.
 */
import { createClient } from 'redis';
import { reasonOf } from '../errors.ts';
import type { Log } from '../log.ts';

/** `allowed`; `restricted`: the caller may read what is not for everybody; `refused`. */
export type Decision = 'allowed' | 'restricted' | 'refused';

export interface Remembered {
  readonly decision: Decision;
  /** Milliseconds of Unix time. */
  readonly endsAt: number;
}

export interface SharedDecisions {
  get(key: string): Promise<Remembered | null>;
  set(key: string, remembered: Remembered): Promise<void>;
  close(): Promise<void>;
}

/** Least recently used entries go first, so that a flood of callers cannot fill the memory. */
export function createRecent<Value>(limit: number): {
  get(key: string): Value | undefined;
  set(key: string, value: Value): void;
  delete(key: string): void;
} {
  const entries = new Map<string, Value>();
  return {
    get: (key) => {
      const value = entries.get(key);
      if (value === undefined) return undefined;
      entries.delete(key);
      entries.set(key, value);
      return value;
    },
    set: (key, value) => {
      entries.delete(key);
      entries.set(key, value);
      const oldest = entries.size > limit ? entries.keys().next().value : undefined;
      if (oldest !== undefined) entries.delete(oldest);
    },
    delete: (key) => void entries.delete(key),
  };
}

const redisDeadlineMilliseconds = 200;
const prefix = 'datastore-dumper:decision:';

/** Connects in the background and for ever again; until then nothing is shared. */
export function shareDecisions(url: string, log: Log): SharedDecisions {
  const client = createClient({
    url,
    disableOfflineQueue: true,
    socket: { connectTimeout: 2000, reconnectStrategy: (attempt) => Math.min(attempt * 200, 5000) },
  });
  let complained = false;
  client.on('error', (error: unknown) => {
    if (!complained) log.warn({ reason: reasonOf(error) }, 'redis: decisions are not shared');
    complained = true;
  });
  client.on('ready', () => {
    complained = false;
  });
  const opening = client.connect().catch(() => undefined);
  return {
    get: async (key) => read(await soon(client.isReady ? client.get(prefix + key) : null)),
    set: async (key, { decision, endsAt }) => {
      const lifeMilliseconds = endsAt - Date.now();
      if (!client.isReady || lifeMilliseconds < 1) return;
      await soon(client.set(prefix + key, `${decision} ${endsAt}`, { PX: Math.ceil(lifeMilliseconds) }));
    },
    close: async () => {
      client.destroy();
      await opening;
    },
  };
}

async function soon<Value>(asked: Promise<Value> | null): Promise<Value | null> {
  if (asked === null) return null;
  const deadline = Promise.withResolvers<null>();
  const timer = setTimeout(() => deadline.resolve(null), redisDeadlineMilliseconds);
  try {
    return await Promise.race([asked, deadline.promise]);
  } catch {
    return null;
  } finally {
    clearTimeout(timer);
  }
}

function read(text: string | null): Remembered | null {
  const [, decision, endsAt] = /^(allowed|restricted|refused) (\d+)$/.exec(text ?? '') ?? [];
  return decision === undefined ? null : { decision: decision as Decision, endsAt: Number(endsAt) };
}
