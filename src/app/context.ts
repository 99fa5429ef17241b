/**
 * The context: every pool, store and client that the other parts use, opened once from the settings and closed once.
 *
 * Nothing here waits for a dependency: pools connect when they are first used, so that the service starts before
 * Postgres, S3 or CKAN and recovers by itself (P21: recovery needs no restart).
 */
import { createHash, randomBytes } from 'node:crypto';
import type pg from 'pg';
import type { BlobStore } from '../blob-store/blob-store.ts';
import { openBlobStore } from '../blob-store/open.ts';
import { createCkan, type Ckan } from '../ckan/client.ts';
import type { Config } from '../config/config.ts';
import { errorMessage } from '../errors.ts';
import type { Log } from '../log.ts';
import { createMetrics, type Metrics } from '../metrics.ts';
import { createPool } from '../postgres/pool.ts';
import { createProfileDetector, type ProfileDetector } from '../ckan/detect-version.ts';
import { noTraces, type Traces } from '../traces.ts';
import { tracedCkan } from './tracing.ts';

export interface AppContext {
  readonly config: Config;
  readonly log: Log;
  readonly metrics: Metrics;
  readonly traces: Traces;
  /** For tokens and the catalogue. */
  readonly readPool: pg.Pool;
  /** For live answers: as many connections as slots. */
  readonly livePool: pg.Pool;
  /** For publications, each on a connection of its own. */
  readonly publishPool: pg.Pool;
  readonly store: BlobStore | null;
  readonly blobSecret: string;
  readonly ckan: Ckan | null;
  readonly profiles: ProfileDetector;
  readonly now: () => Date;
  close(): Promise<void>;
}

interface AppContextOptions {
  readonly config: Config;
  readonly log: Log;
  /** Where the AWS SDK's variables are looked up. */
  readonly environment: Readonly<Record<string, string | undefined>>;
  /** None unless given; closed with the context. */
  readonly traces?: Traces;
  /** How long the context waits for CKAN's version: for ever unless given. */
  readonly patienceSeconds?: number;
}

export function openContext({
  config,
  log,
  environment,
  traces = noTraces,
  ...patience
}: AppContextOptions): AppContext {
  const ending = new AbortController();
  const metrics = createMetrics();
  const blobSecret = config.DUMPER_BLOB_URL_SECRET ?? derivedSecret(config);
  const pools = openPools(config, log);
  metrics.sources.pools
    .set('read', pools.readPool)
    .set('live', pools.livePool)
    .set('publish', pools.publishPool);
  const store = openStore(config, environment, blobSecret);
  const client = openCkan(config, metrics);
  const ckan = client === null ? null : tracedCkan(traces, client);
  return {
    config,
    log,
    metrics,
    traces,
    ...pools,
    store,
    blobSecret,
    ckan,
    profiles: createProfileDetector(config, ckan, log, { signal: ending.signal, ...patience }),
    now: () => new Date(),
    close: async () => {
      ending.abort();
      ckan?.close();
      const { readPool, livePool, publishPool } = pools;
      await Promise.all([readPool.end(), livePool.end(), publishPool.end(), store?.close()]);
      await traces.close();
    },
  };
}

function openPools(config: Config, log: Log): Pick<AppContext, 'readPool' | 'livePool' | 'publishPool'> {
  const url = config.CKAN_DATASTORE_READ_URL ?? '';
  const open = (purpose: string, size: number, queryTimeoutSeconds?: number): pg.Pool =>
    createPool({
      url,
      applicationName: `datastore-dumper ${purpose}`,
      size,
      ...(queryTimeoutSeconds === undefined ? {} : { queryTimeoutSeconds }),
      onIdleError: (error) =>
        log.debug({ reason: errorMessage(error), purpose }, 'an idle connection was lost'),
    });
  return {
    readPool: open('read', config.DUMPER_READ_POOL, 30),
    livePool: open('live', config.DUMPER_LIVE_SLOTS),
    publishPool: open('publish', config.DUMPER_PUBLISH_SLOTS + 1),
  };
}

function openStore(
  config: Config,
  environment: AppContextOptions['environment'],
  signingSecret: string,
): BlobStore | null {
  if (config.DUMPER_BLOB_STORE === undefined) return null;
  return openBlobStore(config.DUMPER_BLOB_STORE, {
    environment,
    signingSecret,
    baseUrl: config.DUMPER_BASE_URL ?? '',
  });
}

function openCkan(config: Config, metrics: Metrics): Ckan | null {
  if (config.CKAN_SITE_URL === undefined) return null;
  return createCkan({
    siteUrl: config.CKAN_SITE_URL,
    timeoutSeconds: config.DUMPER_CKAN_TIMEOUT_SECONDS,
    now: Date.now,
    onAsked: (seconds, outcome) => metrics.ckanSeconds.observe({ outcome }, seconds),
  });
}

/** The same on every replica of one installation; random where there is nothing to derive it from. */
function derivedSecret(config: Config): string {
  const root = config.DUMPER_STATE_URL ?? randomBytes(32).toString('hex');
  return createHash('sha256').update(`datastore-dumper blob urls\n${root}`).digest('hex');
}
