/**
 * The durable queue of tables to publish: one job a table, several processes at once (pg-boss on the state database).
 *
 * Two queues share the slots, so that large tables never hold up small ones (P8). Each queue holds at most one waiting
 * and one running job of a table: a flood of notices costs one publication (P15). Another worker repeats the job of a
 * worker without a heartbeat. A job that fails is retried with back-off and ends among the dead letters, where it is
 * counted; the sweep still enqueues its table now and then.
 */
import { PgBoss, type Job } from 'pg-boss';
import { mapLimit } from '../async/map-limit.ts';
import { errorMessage } from '../errors.ts';
import type { Log } from '../log.ts';
import type { JobRequest } from '../state/publications.ts';
import type { ResourceId } from '../postgres/table.ts';

const queueSchema = 'dumper_queue';
const queueNames = { small: 'publish-small', large: 'publish-large', dead: 'publish-dead' } as const;

/** The job is done, or it runs again after a delay, in the slots of its table's size. */
export type JobResult =
  { readonly kind: 'done' } | { readonly kind: 'reschedule'; readonly request: JobRequest };

/** Runs the job of one table (`worker.ts`). A rejection is a failure, retried later. `attempt` counts from 0. */
export type HandleJob = (id: ResourceId, attempt: number, signal: AbortSignal) => Promise<JobResult>;

export interface QueueOptions {
  readonly url: string;
  readonly log: Log;
  readonly slots: number;
  readonly smallTableBytes: number;
  readonly maxSeconds: number;
  /** Tests shorten it; see `retry` for the defaults. */
  readonly retry?: Partial<typeof retry>;
}

interface QueueDepth {
  readonly waiting: number;
  readonly active: number;
  readonly dead: number;
}

export interface Queue {
  /** Make sure that each table has a waiting job, an earlier one kept; resolves when they are durable. */
  send(requests: readonly JobRequest[]): Promise<void>;
  /** The same, and jobs that wait already run at once. */
  sendNow(requests: readonly JobRequest[]): Promise<void>;
  /** Begin to take jobs. */
  work(handle: HandleJob): Promise<void>;
  /** Take no jobs while paused, so that other processes have them; running ones go on. */
  setPaused(isPaused: boolean): Promise<void>;
  depth(): Promise<QueueDepth>;
  /** Take no new jobs, wait for running ones until `graceSeconds`, then let other processes have them. */
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
    // a worker without a heartbeat is noticed within its interval and this one
    superviseIntervalSeconds: 3,
    monitorIntervalSeconds: 3,
    schedule: false,
  });
  boss.on('error', (error) => options.log.error({ err: error }, 'the queue has failed'));
  boss.on('warning', ({ message }) => options.log.debug({ reason: message }, 'the queue warns'));
  try {
    await boss.start();
    await makeQueues(boss, options);
  } catch (error) {
    await boss.stop({ graceful: false }).catch(() => undefined);
    throw error;
  }
  const send = (requests: readonly JobRequest[]): Promise<void> =>
    sendJobs(boss, options.smallTableBytes, requests);
  let work = async (): Promise<void> => undefined;
  return {
    send,
    sendNow: async (requests) => {
      await send(requests.map((request) => ({ ...request, delaySeconds: 0 })));
      await runNow(boss, requests);
    },
    work: (handle) => {
      work = () =>
        startWorkers(boss, options, async (job) => {
          try {
            const result = await handle(job.data.id, job.retryCount, job.signal);
            if (result.kind === 'reschedule') await send([result.request]);
          } catch (error) {
            options.log.warn({ table: job.data.id, reason: errorMessage(error) }, 'a publication failed');
            throw error;
          }
        });
      return work();
    },
    setPaused: async (isPaused) => {
      for (const name of [queueNames.small, queueNames.large]) await boss.offWork(name, { wait: false });
      if (!isPaused) await work();
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
  requests: readonly JobRequest[],
): Promise<void> {
  const bySize = Map.groupBy(requests, ({ tableBytes }) =>
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

/** As many as leave a connection of the queue's own pool to its workers. */
const updatesAtOnce = 3;

async function runNow(boss: PgBoss, requests: readonly JobRequest[]): Promise<void> {
  await mapLimit(requests, updatesAtOnce, async ({ id }) => {
    const options = { singletonKey: id, startAfter: new Date(), match: 'all' as const };
    await boss.update(queueNames.small, undefined, options);
    await boss.update(queueNames.large, undefined, options);
  });
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
