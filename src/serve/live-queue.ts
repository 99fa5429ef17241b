/**
 * The line for live answers: a bounded number at once, and a fair order for those that wait (P13, slow clients exhaust
 * nothing).
 *
 * - Two lanes. Some slots are kept for small answers, so that none waits behind large ones; small answers use the others
 *   while no large one wants them.
 * - In each lane the clients take turns: the next slot goes to the client that has waited longest for its turn, however
 *   many requests others have in line. A bounded client has so many slots of a lane at most.
 * - The line is bounded in length and in time. When it is full, the client with most requests in it gives up its last.
 * - While somebody has waited for half of that time, the slowest reader below a rate is made to give up its slot.
 */
import { DumperError } from '../errors.ts';

export type LiveLane = 'small' | 'large';

export interface LiveAsker {
  readonly lane: LiveLane;
  readonly client: LiveClient;
}

/** Who takes turns with others. */
export interface LiveClient {
  readonly key: string;
  /** No more than `perClient` slots of a lane at once. */
  readonly isBounded: boolean;
}

export interface LiveSlot {
  /** Aborts when this answer has to make room for others. */
  readonly evicted: AbortSignal;
  /** From now on the reader's rate is known: bytes a second, or null as long as it cannot be told. */
  watch(rate: () => number | null): void;
  /** May be called again, to no effect. */
  release(): void;
}

export interface LiveQueue {
  busy(): number;
  /** Null: no slot became free in time, the line is full, or the signal aborted. */
  acquire(asker: LiveAsker, signal: AbortSignal): Promise<LiveSlot | null>;
}

interface LiveQueueOptions {
  readonly size: number;
  readonly waitSeconds: number;
  readonly perClient: number;
  readonly onChange?: (busy: number, waiting: number) => void;
}

/** A reader at or above this rate is never evicted. */
const slowBytesPerSecond = 256 * 1024;

/** Longest line: with more, the last would only wait to be refused. */
const waitingPerSlot = 16;
/** Milliseconds between two looks for a slow reader. */
const evictionPause = 1000;

interface Waiting extends LiveAsker {
  readonly since: number;
  settle(slot: LiveSlot | null): void;
}

interface Running extends LiveAsker {
  readonly eviction: AbortController;
  rate: () => number | null;
}

export function createLiveQueue(options: LiveQueueOptions): LiveQueue {
  const { size, waitSeconds, perClient } = options;
  const line = createLine();
  const running = new Set<Running>();
  let timer: NodeJS.Timeout | undefined;

  const mayRun = ({ lane, client }: LiveAsker): boolean =>
    !client.isBounded || slotsOf(running, lane, client) < perClient;
  const changed = (): void => {
    options.onChange?.(running.size, line.length());
    if (line.length() === 0) {
      clearInterval(timer);
      timer = undefined;
    } else timer ??= setInterval(evictSlowest, evictionPause);
  };

  const evictSlowest = (): void => {
    const since = performance.now() - waitSeconds * 500;
    const waiter = line.all().find((waiting) => waiting.since <= since && mayRun(waiting));
    if (waiter !== undefined) evictFor(waiter, [...running]);
  };

  const start = (waiting: Waiting): void => {
    const slot: Running = { ...waiting, eviction: new AbortController(), rate: () => null };
    running.add(slot);
    waiting.settle({
      evicted: slot.eviction.signal,
      watch: (rate) => {
        slot.rate = rate;
      },
      release: () => {
        if (running.delete(slot)) dispatch();
      },
    });
  };
  const dispatch = (): void => {
    const next = (): Waiting | null =>
      nextInLine(line, size, { small: slotsOf(running, 'small'), large: slotsOf(running, 'large') }, mayRun);
    for (let waiting = next(); waiting !== null; waiting = next()) start(waiting);
    changed();
  };

  return {
    busy: () => running.size,
    acquire: (asker, signal) => {
      if (signal.aborted) return Promise.resolve(null);
      const { promise, resolve } = Promise.withResolvers<LiveSlot | null>();
      const waiting = waitFor(asker, { signal, waitSeconds, resolve }, () => {
        line.remove(waiting);
        changed();
      });
      line.join(waiting);
      dispatch();
      if (line.length() > size * waitingPerSlot) line.takeSurplus(waiting).settle(null);
      changed();
      return promise;
    },
  };
}

interface Patience {
  readonly signal: AbortSignal;
  readonly waitSeconds: number;
  readonly resolve: (slot: LiveSlot | null) => void;
}

/** `onGivenUp` is called when the time is over or the client has left. */
function waitFor(
  asker: LiveAsker,
  { signal, waitSeconds, resolve }: Patience,
  onGivenUp: () => void,
): Waiting {
  const settle = (slot: LiveSlot | null): void => {
    clearTimeout(timer);
    signal.removeEventListener('abort', giveUp);
    resolve(slot);
  };
  const giveUp = (): void => {
    settle(null);
    onGivenUp();
  };
  const timer = setTimeout(giveUp, waitSeconds * 1000);
  signal.addEventListener('abort', giveUp, { once: true });
  return { ...asker, since: performance.now(), settle };
}

/** Of one client, or of all. */
function slotsOf(running: ReadonlySet<Running>, lane: LiveLane, client?: LiveClient): number {
  const isCounted = (slot: Running): boolean => client === undefined || slot.client.key === client.key;
  return [...running].filter((slot) => slot.lane === lane && isCounted(slot)).length;
}

/** A quarter, where there is more than one. */
function keptForSmall(size: number): number {
  return size === 1 ? 0 : Math.max(1, Math.floor(size / 4));
}

/** Whose turn it is, where a slot of its lane is free. */
function nextInLine(
  line: Line,
  size: number,
  busy: Readonly<Record<LiveLane, number>>,
  mayRun: (asker: LiveAsker) => boolean,
): Waiting | null {
  if (busy.small + busy.large >= size) return null;
  const kept = keptForSmall(size);
  const small = busy.small < kept ? line.take('small', mayRun) : null;
  if (small !== null) return small;
  const large = busy.large < size - kept ? line.take('large', mayRun) : null;
  return large ?? line.take('small', mayRun);
}

/** One at a time: its slot comes back when its backend has ended. */
function evictFor({ lane }: LiveAsker, running: readonly Running[]): void {
  if (running.some(({ eviction }) => eviction.signal.aborted)) return;
  const [slowest] = running
    .filter((slot) => lane === 'small' || slot.lane === 'large')
    .map((slot) => ({ slot, rate: slot.rate() ?? Infinity }))
    .filter(({ rate }) => rate < slowBytesPerSecond)
    .toSorted((one, other) => one.rate - other.rate);
  const reason = 'the slowest reader made room for others';
  slowest?.slot.eviction.abort(new DumperError('COPY_STALLED', reason));
}

interface Line {
  length(): number;
  all(): Waiting[];
  join(waiting: Waiting): void;
  /** Out of the line, if it still stands there. */
  remove(waiting: Waiting): void;
  /** The first request of the client whose turn it is, of those that may run. */
  take(lane: LiveLane, mayRun: (asker: LiveAsker) => boolean): Waiting | null;
  /** Who has to go for the newcomer: the last of the client that has most in line, or the newcomer itself. */
  takeSurplus(newcomer: Waiting): Waiting;
}

/** Those who wait: a ring of clients a lane, in the order of their turns. */
function createLine(): Line {
  const rings = { small: new Map<string, Waiting[]>(), large: new Map<string, Waiting[]>() };
  const queues = (): Waiting[][] => [...rings.small.values(), ...rings.large.values()];
  const remove = (waiting: Waiting): void => {
    const ring = rings[waiting.lane];
    const left = ring.get(waiting.client.key)?.filter((other) => other !== waiting) ?? [];
    if (left.length === 0) ring.delete(waiting.client.key);
    else ring.set(waiting.client.key, left);
  };
  return {
    length: () => queues().reduce((sum, queue) => sum + queue.length, 0),
    all: () => queues().flat(),
    remove,
    join: (waiting) => {
      const ring = rings[waiting.lane];
      ring.set(waiting.client.key, [...(ring.get(waiting.client.key) ?? []), waiting]);
    },
    take: (lane, mayRun) => {
      const ring = rings[lane];
      for (const [key, [first, ...others]] of ring) {
        if (first === undefined || !mayRun(first)) continue;
        // Its next turn is behind all others.
        ring.delete(key);
        if (others.length > 0) ring.set(key, others);
        return first;
      }
      return null;
    },
    takeSurplus: (newcomer) => {
      const own = rings[newcomer.lane].get(newcomer.client.key)?.length ?? 0;
      const [longest] = queues().toSorted((one, other) => other.length - one.length);
      const surplus = longest !== undefined && longest.length > own ? longest.at(-1) : undefined;
      remove(surplus ?? newcomer);
      return surplus ?? newcomer;
    },
  };
}
