/**
 * What became of a table's publication, told to CKAN as its `task_status` (`CKAN_API_TOKEN`), so that CKAN's pages and
 * extensions can show it: entity the resource, task type `datastore_dumper`, key `publication`, state `pending`,
 * `complete` or `error`.
 *
 * Everybody may read a task status in CKAN (`task_status_show`), so of tables that are not public no number and no
 * reason goes in (promise P9). Never in anybody's way: at most one waiting word a table, the newest; one question at a
 * time; while CKAN fails, a pause that grows and one line in the log.
 */
import { backoff } from '../async/retry.ts';
import type { Ckan } from './client.ts';
import type { Log } from '../log.ts';
import type { ResourceId } from '../postgres/table.ts';
import type { Manifest } from '../manifest.ts';

export type TaskStatus =
  | { readonly state: 'pending' }
  | { readonly state: 'complete'; readonly manifest: Manifest }
  | { readonly state: 'error'; readonly reason: string };

export interface TaskStatusReporter {
  enqueueStatus(id: ResourceId, word: TaskStatus): void;
  /** Wait until everything was told, at most `graceSeconds`; what is left is dropped. */
  close(graceSeconds: number): Promise<void>;
}

export interface TaskStatusOptions {
  /** A client of its own: its failures are nothing to those who ask for permission. */
  readonly ckan: Ckan;
  readonly tokenHeader: string;
  readonly token: string;
  readonly mayAnyoneRead: (id: ResourceId) => Promise<boolean | null>;
  readonly log: Log;
  readonly now: () => Date;
  /** First pause after a failure, in milliseconds; 4,000 unless given. */
  readonly pauseMilliseconds?: number;
}

/** Tables with a word that waits, and tables whose last word is remembered. */
const mostWaiting = 10_000;
const longestPauseSeconds = 60;

export function createTaskStatusReporter(options: TaskStatusOptions): TaskStatusReporter {
  const { log, pauseMilliseconds = 4000 } = options;
  const pauseAfter = backoff({ firstSeconds: pauseMilliseconds / 1000, mostSeconds: longestPauseSeconds });
  const waiting = new Map<ResourceId, TaskStatus>();
  const told = new Map<ResourceId, string>();
  const closing = new AbortController();
  let failures = 0;
  let telling: Promise<void> | null = null;

  const tellAll = async (): Promise<void> => {
    for (let next = first(waiting); next !== null && !closing.signal.aborted; next = first(waiting)) {
      const [id, word] = next;
      waiting.delete(id);
      const fault = await sendStatus(options, id, word);
      if (fault === null) {
        if (failures > 0) log.info('CKAN takes task status again');
        failures = 0;
        told.set(id, dedupeKey(word));
        continue;
      }
      failures += 1;
      if (failures === 1) log.warn({ reason: fault.reason }, 'CKAN does not take task status');
      if (!fault.forGood && !waiting.has(id)) waiting.set(id, word);
      await pause(pauseAfter(failures) * 1000, closing.signal);
    }
  };
  return {
    enqueueStatus: (id, word) => {
      if (closing.signal.aborted || (!waiting.has(id) && told.get(id) === dedupeKey(word))) return;
      if (told.size >= mostWaiting) told.clear();
      if (waiting.size >= mostWaiting && !waiting.has(id)) return;
      waiting.set(id, word);
      telling ??= tellAll().finally(() => {
        telling = null;
      });
    },
    close: async (graceSeconds) => {
      const over = setTimeout(() => closing.abort(), failures > 0 ? 0 : graceSeconds * 1000);
      await telling;
      clearTimeout(over);
      closing.abort();
      options.ckan.close();
    },
  };
}

function first<Key, Value>(entries: ReadonlyMap<Key, Value>): [Key, Value] | null {
  return entries.entries().next().value ?? null;
}

/** The same word twice in a row is told once. */
function dedupeKey(word: TaskStatus): string {
  return word.state === 'complete'
    ? `complete ${word.manifest.revision} ${word.manifest.public}`
    : word.state === 'error'
      ? `error ${word.reason}`
      : 'pending';
}

interface Fault {
  readonly reason: string;
  /** CKAN refuses this word: saying it again is no use. */
  readonly forGood: boolean;
}

async function sendStatus(
  options: TaskStatusOptions,
  id: ResourceId,
  word: TaskStatus,
): Promise<Fault | null> {
  const { ckan, token, tokenHeader } = options;
  const isPublic = (await options.mayAnyoneRead(id)) === true;
  const answer = await ckan.ask({
    action: 'task_status_update',
    parameters: {
      entity_id: id,
      entity_type: 'resource',
      task_type: 'datastore_dumper',
      key: 'publication',
      state: word.state,
      value: JSON.stringify(word.state === 'complete' ? valueOf(word.manifest, isPublic) : {}),
      error: word.state === 'error' ? (isPublic ? word.reason : 'see the status of the dumps') : '',
      // CKAN's own spelling: UTC without a zone
      last_updated: options.now().toISOString().replace('Z', ''),
    },
    credentials: { [tokenHeader]: token },
    method: 'POST',
  });
  if (answer.kind === 'answer' && answer.status === 200) return null;
  const reason = answer.kind === 'unavailable' ? answer.reason : `CKAN answered ${answer.status}`;
  return { reason, forGood: answer.status >= 400 && answer.status < 500 };
}

function valueOf(manifest: Manifest, isPublic: boolean): Record<string, unknown> {
  const { revision, published_at, rows } = manifest;
  if (!isPublic) return { revision, published_at };
  const bytes = Object.fromEntries(
    Object.entries(manifest.blobs).map(([variant, blob]) => [variant, blob.bytes]),
  );
  return { revision, published_at, rows, bytes };
}

async function pause(milliseconds: number, signal: AbortSignal): Promise<void> {
  const { promise, resolve } = Promise.withResolvers<void>();
  const timer = setTimeout(resolve, milliseconds);
  signal.addEventListener('abort', () => resolve(), { once: true });
  if (signal.aborted) resolve();
  await promise.finally(() => clearTimeout(timer));
}
