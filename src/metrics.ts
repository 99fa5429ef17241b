/**
 * What Prometheus reads: one registry, built once and handed to each part of the story.
 *
 * Names follow the Prometheus conventions (base units, `_total` for counters). Every label has a closed set of values,
 * which its help lists: no id, name or address ever becomes one, so that series stay few and nothing private is told
 * (P9: what CKAN refuses is never given).
 */
import { Counter, Gauge, Histogram, Registry, collectDefaultMetrics } from 'prom-client';
import { withTimeout } from './async/timeout.ts';
import { DumperError } from './errors.ts';

const prefix = 'datastore_dumper_';

/** Seconds, from a redirect to the dump of a huge table. */
const answerBuckets = [0.002, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60, 300, 1800];
const buildBuckets = [0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60, 300, 900, 3600, 14_400];

export type Metrics = ReturnType<typeof createMetrics>;

interface QueueDepth {
  readonly waiting: number;
  readonly active: number;
  readonly dead: number;
}

/** What is asked at each scrape, once the part that knows it is up. */
interface ScrapeSources {
  queueDepth: (() => Promise<QueueDepth>) | null;
  readonly pools: Map<string, { totalCount: number; idleCount: number; waitingCount: number }>;
}

export function createMetrics() {
  const registry = new Registry();
  const registers = [registry];
  const sources: ScrapeSources = { queueDepth: null, pools: new Map() };
  return {
    registry,
    sources,
    ...serveMetrics(registers),
    ...publishMetrics(registers, sources),
    ...processMetrics(registers, sources),
  };
}

/** Longest wait of a scrape for the state database, in milliseconds. */
const depthDeadline = 1000;

/** Null where the queue cannot be asked in time: no number is better than an old number. */
async function depthInTime({ queueDepth }: ScrapeSources): Promise<QueueDepth | null> {
  if (queueDepth === null) return null;
  const onTimeout = (): Error => new DumperError('STATE_UNAVAILABLE', 'the queue does not answer in time');
  return withTimeout(queueDepth(), { milliseconds: depthDeadline, onTimeout }).catch(() => null);
}

function serveMetrics(registers: Registry[]) {
  return {
    answers: new Counter({
      name: `${prefix}answers_total`,
      help: 'Answers of the dump route, by where the bytes come from (blob, live, none), status and format.',
      labelNames: ['source', 'status', 'format'] as const,
      registers,
    }),
    answerBytes: new Counter({
      name: `${prefix}answer_bytes_total`,
      help: 'Body bytes that the dump and blob routes sent themselves.',
      labelNames: ['source'] as const,
      registers,
    }),
    answerSeconds: new Histogram({
      name: `${prefix}answer_seconds`,
      help: 'From request to the end of the answer of the dump route.',
      labelNames: ['source'] as const,
      buckets: answerBuckets,
      registers,
    }),
    brokenAnswers: new Counter({
      name: `${prefix}broken_answers_total`,
      help: 'Answers reset after their first byte, by cause (client, stall, postgres, store).',
      labelNames: ['cause'] as const,
      registers,
    }),
    liveSlotsBusy: new Gauge({
      name: `${prefix}live_slots_busy`,
      help: 'Live answers under way.',
      registers,
    }),
    liveSlots: new Gauge({ name: `${prefix}live_slots`, help: 'Live answers allowed at once.', registers }),
    permissionDecisions: new Counter({
      name: `${prefix}permission_decisions_total`,
      help: 'Permission decisions, by where they came from (cache, ckan) and outcome (allowed, restricted, refused, unavailable).',
      labelNames: ['from', 'outcome'] as const,
      registers,
    }),
    ckanSeconds: new Histogram({
      name: `${prefix}ckan_request_seconds`,
      help: 'Questions to CKAN, by outcome (answered, failed).',
      labelNames: ['outcome'] as const,
      buckets: answerBuckets,
      registers,
    }),
    manifestReads: new Counter({
      name: `${prefix}manifest_reads_total`,
      help: 'Look-ups of a manifest, by where it was found (cache, store).',
      labelNames: ['from'] as const,
      registers,
    }),
    notices: new Counter({
      name: `${prefix}notices_total`,
      help: 'Notices, by outcome (queued, refused, too_large, invalid).',
      labelNames: ['outcome'] as const,
      registers,
    }),
  };
}

function publishMetrics(registers: Registry[], sources: ScrapeSources) {
  return {
    publications: new Counter({
      name: `${prefix}publications_total`,
      help: 'Publications, by outcome (published, unchanged, gone, superseded, failed).',
      labelNames: ['outcome'] as const,
      registers,
    }),
    publicationSeconds: new Histogram({
      name: `${prefix}publication_seconds`,
      help: 'From a worker taking a table to its manifest switched.',
      buckets: buildBuckets,
      registers,
    }),
    publicationLagSeconds: new Histogram({
      name: `${prefix}publication_lag_seconds`,
      help: 'From hearing of a change to its dump published.',
      buckets: buildBuckets,
      registers,
    }),
    publishedBytes: new Counter({
      name: `${prefix}published_bytes_total`,
      help: 'Bytes of all blobs published.',
      registers,
    }),
    tables: new Gauge({
      name: `${prefix}tables`,
      help: 'Tables by state (fresh, pending, building, failed, absent), as of the last sweep.',
      labelNames: ['state'] as const,
      registers,
    }),
    oldestStaleSeconds: new Gauge({
      name: `${prefix}oldest_stale_seconds`,
      help: 'How long the table that has been stale for longest has been so; 0 when none is.',
      registers,
    }),
    queueJobs: new Gauge({
      name: `${prefix}queue_jobs`,
      help: 'Jobs of the publication queue by state (waiting, active, dead).',
      labelNames: ['state'] as const,
      registers,
      async collect() {
        this.reset();
        const depth = await depthInTime(sources);
        for (const [state, jobs] of Object.entries(depth ?? {})) this.set({ state }, jobs);
      },
    }),
    sweepTimestamp: new Gauge({
      name: `${prefix}sweep_success_timestamp_seconds`,
      help: 'When a sweep last ended well, in Unix time.',
      registers,
    }),
    sweepSeconds: new Gauge({
      name: `${prefix}sweep_seconds`,
      help: 'How long the last sweep took.',
      registers,
    }),
  };
}

function processMetrics(registers: Registry[], sources: ScrapeSources) {
  const [register] = registers;
  if (register) collectDefaultMetrics({ register });
  return {
    poolConnections: new Gauge({
      name: `${prefix}pool_connections`,
      help: 'Connections to Postgres by pool and state (busy, idle, waiting).',
      labelNames: ['pool', 'state'] as const,
      registers,
      collect() {
        for (const [pool, { totalCount, idleCount, waitingCount }] of sources.pools) {
          this.set({ pool, state: 'busy' }, totalCount - idleCount);
          this.set({ pool, state: 'idle' }, idleCount);
          this.set({ pool, state: 'waiting' }, waitingCount);
        }
      },
    }),
    ready: new Gauge({
      name: `${prefix}ready`,
      help: '1 where a dependency answered its last readiness check, else 0.',
      labelNames: ['dependency'] as const,
      registers,
    }),
  };
}
