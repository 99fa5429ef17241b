/**
 * All that answering needs, as arguments: put together by `app/service.ts`, replaced piece by piece in tests. Each
 * handler names the parts that it uses. Nothing here reads the environment or opens a connection.
 */
import type pg from 'pg';
import type { Semaphore } from '../async/semaphore.ts';
import type { BlobStore } from '../blob-store/blob-store.ts';
import type { CkanProfile } from '../ckan/profile.ts';
import type { Config } from '../config/config.ts';
import type { Log } from '../log.ts';
import type { Metrics } from '../metrics.ts';
import type { ResourceId } from '../postgres/table.ts';
import type { Publications } from '../state/publications.ts';
import type { Traces } from '../traces.ts';
import type { ManifestCache } from './manifest-cache.ts';
import type { Permission } from './permission.ts';
import type { ResourceNames } from './resource-name.ts';
import type { WebhookDeps } from './webhook.ts';

/** One dependency's readiness: resolves with a remark for people, rejects with why it cannot be used. */
export interface ReadinessCheck {
  readonly name: string;
  /** No dump can be answered without it. */
  readonly needed: boolean;
  readonly check: (signal: AbortSignal) => Promise<string>;
}

export interface ServeDeps {
  readonly config: Config;
  /** Null until CKAN has told its version. */
  readonly profile: () => CkanProfile | null;
  readonly readPool: pg.Pool;
  /** As many connections as there are live slots. */
  readonly livePool: pg.Pool;
  readonly slots: Semaphore;
  /** Null where nothing is published. */
  readonly store: BlobStore | null;
  readonly manifests: ManifestCache;
  /** Signs and checks the paths of a directory store. */
  readonly blobSecret: string;
  readonly permission: Permission;
  /** For the names of files. */
  readonly resourceNames: ResourceNames;
  /** The records of publications; null without a state database. */
  readonly publications: Pick<Publications, 'get' | 'all'> | null;
  /** Queue a publication, whether the table changed or not; null where nothing publishes. */
  readonly rebuild: ((id: ResourceId) => Promise<void>) | null;
  /** An answer found the published dump stale or missing: a hint for the queue, dropped where nothing publishes. */
  readonly enqueueStale: (id: ResourceId) => void;
  readonly webhook: WebhookDeps['webhook'];
  readonly checks: readonly ReadinessCheck[];
  /** The text of `openapi.yaml`, or null. */
  readonly openapi: string | null;
  readonly metrics: Metrics;
  readonly traces: Traces;
  readonly log: Log;
  readonly now: () => Date;
  /** Aborts when live answers have had their grace after SIGTERM. */
  readonly ending: AbortSignal;
}
