/**
 * What became of a table's publication, told to CKAN as its `task_status` (`CKAN_API_TOKEN`), so that CKAN's pages and
 * extensions can show it: entity the resource, task type `datastore_dumper`, key `publication`, state `pending`,
 * `complete` or `error`.
 *
 * Everybody may read a task status in CKAN (`task_status_show`), so the status of a table that is not public holds no
 * number and no reason (P9: what CKAN refuses is never given). It holds up nobody: one status of a table waits at most,
 * the newest; one request runs at a time; while CKAN fails, the pause grows and the log has one line.
 */
import { setTimeout as delay } from 'node:timers/promises';
import { backoff } from '../async/retry.ts';
import type { Ckan } from './client.ts';
import type { Log } from '../log.ts';
import type { ResourceId } from '../postgres/table.ts';

/** What is told of a manifest. */
interface PublishedFacts {
  readonly revision: string;
  readonly published_at: string;
  readonly rows: number;
  readonly public: boolean;
  readonly blobs: Readonly<Record<string, { readonly bytes: number }>>;
}

export type TaskStatus =
  | { readonly state: 'pending' }
  | { readonly state: 'complete'; readonly manifest: PublishedFacts }
  | { readonly state: 'error'; readonly reason: string };

export interface TaskStatusReporter {
  enqueueStatus(id: ResourceId, status: TaskStatus): void;
  /** Wait until everything was sent, at most `graceSeconds`; what is left is dropped. */
  close(graceSeconds: number): Promise<void>;
}

interface TaskStatusOptions {
  /** A client of its own: its failures do not count against questions of permission. */
  readonly ckan: Ckan;
  readonly tokenHeader: string;
  readonly token: string;
  readonly isPublic: (id: ResourceId) => Promise<boolean | null>;
  readonly log: Log;
  readonly now: () => Date;
  /** First pause after a failure, in milliseconds; 4,000 unless given. */
  readonly pauseMilliseconds?: number;
}

/** Tables with a status that waits, and tables whose last status is remembered. */
const mostWaiting = 10_000;
const longestPauseSeconds = 60;

export function createTaskStatusReporter(options: TaskStatusOptions): TaskStatusReporter {
  const { log, pauseMilliseconds = 4000 } = options;
  const pauseAfter = backoff({ firstSeconds: pauseMilliseconds / 1000, mostSeconds: longestPauseSeconds });
  const waiting = new Map<ResourceId, TaskStatus>();
  const lastSent = new Map<ResourceId, string>();
  const closing = new AbortController();
  let failures = 0;
  let sending: Promise<void> | null = null;

  const sendAll = async (): Promise<void> => {
    for (let next = first(waiting); next !== null && !closing.signal.aborted; next = first(waiting)) {
      const [id, status] = next;
      waiting.delete(id);
      const fault = await sendStatus(options, id, status);
      if (fault === null) {
        if (failures > 0) log.info('CKAN takes task status again');
        failures = 0;
        lastSent.set(id, dedupeKey(status));
        continue;
      }
      failures += 1;
      if (failures === 1) log.warn({ reason: fault.reason }, 'CKAN does not take task status');
      if (!fault.isFinal && !waiting.has(id)) waiting.set(id, status);
      const milliseconds = pauseAfter(failures) * 1000;
      await delay(milliseconds, undefined, { signal: closing.signal }).catch(() => undefined);
    }
  };
  return {
    enqueueStatus: (id, status) => {
      if (closing.signal.aborted || (!waiting.has(id) && lastSent.get(id) === dedupeKey(status))) return;
      if (lastSent.size >= mostWaiting) lastSent.clear();
      if (waiting.size >= mostWaiting && !waiting.has(id)) return;
      waiting.set(id, status);
      sending ??= sendAll().finally(() => {
        sending = null;
      });
    },
    close: async (graceSeconds) => {
      const over = setTimeout(() => closing.abort(), failures > 0 ? 0 : graceSeconds * 1000);
      await sending;
      clearTimeout(over);
      closing.abort();
      options.ckan.close();
    },
  };
}

function first<Key, Value>(entries: ReadonlyMap<Key, Value>): [Key, Value] | null {
  return entries.entries().next().value ?? null;
}

/** The same status twice in a row is sent once. */
function dedupeKey(status: TaskStatus): string {
  if (status.state === 'complete') return `complete ${status.manifest.revision} ${status.manifest.public}`;
  return status.state === 'error' ? `error ${status.reason}` : 'pending';
}

interface Fault {
  readonly reason: string;
  /** CKAN refuses this status: to send it again is no use. */
  readonly isFinal: boolean;
}

async function sendStatus(
  options: TaskStatusOptions,
  id: ResourceId,
  status: TaskStatus,
): Promise<Fault | null> {
  const { ckan, token, tokenHeader } = options;
  const isPublic = (await options.isPublic(id)) === true;
  const answer = await ckan.ask({
    action: 'task_status_update',
    parameters: {
      entity_id: id,
      entity_type: 'resource',
      task_type: 'datastore_dumper',
      key: 'publication',
      state: status.state,
      value: JSON.stringify(status.state === 'complete' ? valueOf(status.manifest, isPublic) : {}),
      error: status.state === 'error' ? (isPublic ? status.reason : 'see the status of the dumps') : '',
      // CKAN's own spelling: UTC without a zone
      last_updated: options.now().toISOString().replace('Z', ''),
    },
    credentials: { [tokenHeader]: token },
    method: 'POST',
  });
  if (answer.kind === 'answer' && answer.status === 200) return null;
  const reason = answer.kind === 'unavailable' ? answer.reason : `CKAN answered ${answer.status}`;
  return { reason, isFinal: answer.status >= 400 && answer.status < 500 };
}

function valueOf(manifest: PublishedFacts, isPublic: boolean): Record<string, unknown> {
  const { revision, published_at, rows } = manifest;
  if (!isPublic) return { revision, published_at };
  const bytes = Object.fromEntries(
    Object.entries(manifest.blobs).map(([variant, blob]) => [variant, blob.bytes]),
  );
  return { revision, published_at, rows, bytes };
}
