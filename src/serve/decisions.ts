/**
 * Permission decisions remembered for a moment: in this process, and in Redis where several replicas share them.
 *
 * A decision carries the moment it ends, so that no copy of it lives longer than the first (P10, lost access ends in
 * time). Keys hold a keyed hash of the caller, never a credential. Redis is a convenience: slow or gone, it is left out.
 */
import { withTimeout } from '../async/timeout.ts';
import { errorMessage } from '../errors.ts';
import type { Log } from '../log.ts';

/** `allowed`; `restricted`: the caller may read what is not for everybody; `refused`. */
export type Decision = 'allowed' | 'restricted' | 'refused';

/** A decision and its end. */
export interface RememberedDecision {
  readonly decision: Decision;
  /** Milliseconds of Unix time. */
  readonly endsAt: number;
}

export interface SharedDecisions {
  get(key: string): Promise<RememberedDecision | null>;
  set(key: string, remembered: RememberedDecision): Promise<void>;
  close(): Promise<void>;
}

const redisDeadlineMilliseconds = 200;
const prefix = 'datastore-dumper:decision:';

/**
 * Connects in the background and for ever again; until then nothing is shared. While an answer is overdue nothing more
 * is asked, so that a Redis that hangs costs one deadline, not one for each request; a connection that stayed silent for
 * `silentMilliseconds` is made anew.
 */
export async function shareDecisions(
  url: string,
  log: Log,
  silentMilliseconds = 10_000,
): Promise<SharedDecisions> {
  // 25 MiB of memory for those alone who have a Redis.
  const { createClient, SocketTimeoutError } = await import('redis');
  const client = createClient({
    url,
    disableOfflineQueue: true,
    commandsQueueMaxLength: 10_000,
    socket: {
      connectTimeout: 2000,
      socketTimeout: silentMilliseconds,
      reconnectStrategy: (attempt) => Math.min(attempt * 200, 1000),
    },
  });
  let isWarned = false;
  let overdue = 0;
  const warn = (reason: string): void => {
    if (!isWarned) log.warn({ reason }, 'redis: decisions are not shared');
    isWarned = true;
  };
  // An idle connection ends in silence too.
  client.on('error', (error: unknown) => error instanceof SocketTimeoutError || warn(errorMessage(error)));
  client.on('ready', () => {
    isWarned = false;
  });
  client.connect().catch(() => undefined);
  const mayAsk = (): boolean => client.isReady && overdue === 0;
  const onOverdue = (answered: Promise<unknown>): void => {
    overdue += 1;
    warn(`no answer within ${redisDeadlineMilliseconds} ms`);
    void answered.finally(() => (overdue -= 1));
  };
  return {
    get: async (key) => {
      if (!mayAsk()) return null;
      const askedAt = Date.now();
      const commands = client
        .multi()
        .get(prefix + key)
        .pTTL(prefix + key);
      const [text, leftMilliseconds] = (await inTime(commands.exec(), onOverdue)) ?? [];
      return parseRemembered(text, askedAt + Number(leftMilliseconds));
    },
    set: async (key, { decision, endsAt }) => {
      const lifeMilliseconds = endsAt - Date.now();
      if (!mayAsk() || lifeMilliseconds < 1) return;
      const life = { PX: Math.ceil(lifeMilliseconds) };
      await inTime(client.set(prefix + key, `${decision} ${endsAt}`, life), onOverdue);
    },
    // A connection that is just being made ends by itself, at its deadline at the latest: not worth waiting for.
    close: async () => client.destroy(),
  };
}

/** Null where Redis failed or was too slow; then `onOverdue` gets what settles when it has answered after all. */
async function inTime<Value>(
  command: Promise<Value>,
  onOverdue: (answered: Promise<unknown>) => void,
): Promise<Value | null> {
  const answer = command.catch(() => null);
  return withTimeout(answer, {
    milliseconds: redisDeadlineMilliseconds,
    onTimeout: () => {
      onOverdue(answer);
      return new Error('redis is too slow');
    },
  }).catch(() => null);
}

/** `expiresAt`, by Redis's own count, holds where the clock of the replica that wrote is ahead of this one's. */
function parseRemembered(text: unknown, expiresAt: number): RememberedDecision | null {
  const [, decision, endsAt] = /^(allowed|restricted|refused) (\d+)$/.exec(String(text)) ?? [];
  if (decision === undefined) return null;
  return { decision: decision as Decision, endsAt: Math.min(Number(endsAt), expiresAt) };
}
