/**
 * The queue of tables to look at: durable, one job a table, several processes at once (pg-boss on the state database).
 *
 * Two queues share the slots, so that small tables are not held up by large ones (promise P8). Each holds at most one
 * waiting and one running job of a table: a flood of notices costs one publication (P15). A job whose worker falls
 * silent is started again elsewhere; one that fails is retried with back-off and ends among the dead letters, where it
 * is counted, while the sweep goes on asking now and then.
 */
import { PgBoss, type Job } from 'pg-boss';
import { errorMessage } from '../errors.ts';
import type { Log } from '../log.ts';
import type { JobRequest } from '../state/publications.ts';
import type { ResourceId } from '../postgres/table.ts';

export const queueSchema = 'dumper_queue';
const queueNames = { small: 'publish-small', large: 'publish-large', dead: 'publish-dead' } as const;
export type QueueName = keyof typeof queueNames;

/** What became of a job: done, or to be looked at again after a while, in the slots of the table's size. */
export type JobResult =
  { readonly kind: 'done' } | { readonly kind: 'again'; readonly appointment: JobRequest };

/** Deals with one table. A rejection is a failure: tried again later. `attempt` counts from 0. */
export type HandleJob = (id: ResourceId, attempt: number, signal: AbortSignal) => Promise<JobResult>;

export interface QueueOptions {
  readonly url: string;
  readonly log: Log;
  readonly slots: number;
  readonly smallTableBytes: number;
  readonly maxSeconds: number;
  /** Only to be shortened by tests; see `retry` for the defaults. */
  readonly retry?: Partial<typeof retry>;
}

export interface QueueDepth {
  readonly waiting: number;
  readonly active: number;
  readonly dead: number;
}

export interface Queue {
  /** Make sure that each table has a waiting job, an earlier one kept; resolves when they are durable. */
  send(appointments: readonly JobRequest[]): Promise<void>;
  /** The same, and waiting jobs wait no longer. */
  sendNow(appointments: readonly JobRequest[]): Promise<void>;
  /** Begin to work. */
  work(handle: HandleJob): Promise<void>;
  /** Take no jobs while resting, so that others have them; running ones go on. */
  setPaused(resting: boolean): Promise<void>;
  depth(): Promise<QueueDepth>;
  /** Take no new jobs, wait for running ones until `graceSeconds`, then let others have them. */
  stop(graceSeconds: number): Promise<void>;
}

const retry = { limit: 8, delaySeconds: 10, delayMaxSeconds: 1800 };
interface JobData {
  readonly id: ResourceId;
}

/** Connect and make the queues; rejects when the state database cannot be asked. */
export async function openQueue(options: QueueOptions): Promise<Queue> {
  const boss = new PgBoss({
    connectionString: options.url,
    schema: queueSchema,
    application_name: 'datastore-dumper queue',
    max: 4,
    useListenNotify: true,
    // a worker that fell silent is noticed within its heartbeat and one look more
    superviseIntervalSeconds: 3,
    monitorIntervalSeconds: 3,
    schedule: false,
  });
  boss.on('error', (error) => options.log.error({ err: error }, 'queue'));
  boss.on('warning', ({ message }) => options.log.debug({ reason: message }, 'queue'));
  try {
    await boss.start();
    await makeQueues(boss, options);
  } catch (error) {
    await boss.stop({ graceful: false }).catch(() => undefined);
    throw error;
  }
  const send = (appointments: readonly JobRequest[]): Promise<void> =>
    sendJobs(boss, options.smallTableBytes, appointments);
  let work = async (): Promise<void> => undefined;
  return {
    send,
    sendNow: async (appointments) => {
      await send(appointments.map((appointment) => ({ ...appointment, waitSeconds: 0 })));
      await runNow(boss, appointments);
    },
    work: (handle) => {
      work = () =>
        startWorkers(boss, options, async (job) => {
          try {
            const end = await handle(job.data.id, job.retryCount, job.signal);
            if (end.kind === 'again') await send([end.appointment]);
          } catch (error) {
            options.log.warn({ table: job.data.id, reason: errorMessage(error) }, 'a publication failed');
            throw error;
          }
        });
      return work();
    },
    setPaused: async (resting) => {
      for (const name of [queueNames.small, queueNames.large]) await boss.offWork(name, { wait: false });
      if (!resting) await work();
    },
    depth: () => depthOf(boss),
    stop: (graceSeconds) => boss.stop({ graceful: true, timeout: Math.max(1, graceSeconds) * 1000 }),
  };
}

async function makeQueues(boss: PgBoss, options: QueueOptions): Promise<void> {
  const { limit, delaySeconds, delayMaxSeconds } = { ...retry, ...options.retry };
  const month = 30 * 86_400;
  await boss.createQueue(queueNames.dead, { policy: 'short', retentionSeconds: month });
  const settings = {
    retryLimit: limit,
    retryDelay: delaySeconds,
    retryBackoff: true,
    retryDelayMax: delayMaxSeconds,
    // pg-boss allows less than a day
    expireInSeconds: Math.min(options.maxSeconds + 60, 86_000),
    heartbeatSeconds: 10,
    retentionSeconds: month,
    deleteAfterSeconds: 3600,
    deadLetter: queueNames.dead,
    notify: true,
  };
  for (const name of [queueNames.small, queueNames.large]) {
    await boss.createQueue(name, { ...settings, policy: 'stately' });
    await boss.updateQueue(name, settings);
  }
}

async function sendJobs(
  boss: PgBoss,
  smallTableBytes: number,
  appointments: readonly JobRequest[],
): Promise<void> {
  const bySize = Map.groupBy(appointments, ({ tableBytes }) =>
    tableBytes <= smallTableBytes ? queueNames.small : queueNames.large,
  );
  for (const [name, group] of bySize) {
    for (let first = 0; first < group.length; first += 1000) {
      const jobs = group.slice(first, first + 1000).map(({ id, delaySeconds }) => ({
        data: { id },
        singletonKey: id,
        startAfter: Math.ceil(delaySeconds),
      }));
      // a table that has a waiting job already keeps that one
      await boss.insert(name, jobs, { returnId: false });
    }
  }
}

async function runNow(boss: PgBoss, appointments: readonly JobRequest[]): Promise<void> {
  const left = [...appointments];
  const hastenNext = async (): Promise<void> => {
    for (let next = left.pop(); next !== undefined; next = left.pop()) {
      const options = { singletonKey: next.id, startAfter: new Date(), match: 'all' as const };
      await boss.update(queueNames.small, undefined, options);
      await boss.update(queueNames.large, undefined, options);
    }
  };
  await Promise.all([hastenNext(), hastenNext(), hastenNext()]);
}

/** Half the slots are for small tables alone; each queue has at least one. */
async function startWorkers(
  boss: PgBoss,
  { slots }: QueueOptions,
  handle: (job: Job<JobData>) => Promise<void>,
): Promise<void> {
  const workers = { small: Math.max(1, Math.ceil(slots / 2)), large: Math.max(1, Math.floor(slots / 2)) };
  for (const size of ['small', 'large'] as const) {
    for (let count = 0; count < workers[size]; count += 1) {
      const workerId: string = await boss.work<JobData>(
        queueNames[size],
        { pollingIntervalSeconds: 1, notifyPollingIntervalSeconds: 1, heartbeatRefreshSeconds: 3 },
        async ([job]) => {
          if (job === undefined) return;
          try {
            await handle(job);
          } finally {
            // else the worker would wait for its next poll before it takes the next job
            boss.notifyWorker(workerId);
          }
        },
      );
    }
  }
}

async function depthOf(boss: PgBoss): Promise<QueueDepth> {
  const counts = await boss.getDb().executeSql(
    `SELECT count(*) FILTER (WHERE state < 'active' AND name <> $1)::int AS waiting,
       count(*) FILTER (WHERE state = 'active')::int AS active,
       count(*) FILTER (WHERE state < 'active' AND name = $1)::int AS dead
     FROM ${queueSchema}.job WHERE state <= 'active'`,
    [queueNames.dead],
  );
  const [row] = counts.rows as QueueDepth[];
  return row ?? { waiting: 0, active: 0, dead: 0 };
}
