/**
 * A table of the read-only tier is looked at again a little after its publication: Postgres moves the counters some time
 * after the commit, so a notice may come before them and find the table unchanged (P4, no stale dump stays). Without this
 * it would wait for the next sweep. A table whose counters show a change then is queued once more, and not looked at again.
 */
import type { CkanProfile } from '../ckan/profile.ts';
import { errorMessage } from '../errors.ts';
import type { Log } from '../log.ts';
import type { Queryable } from '../postgres/pool.ts';
import { revisionToken, tableState } from '../postgres/revision.ts';
import type { ResourceId } from '../postgres/table.ts';
import type { Publications, TableChange } from '../state/publications.ts';

interface RecheckDeps {
  readonly read: Queryable;
  readonly publications: Pick<Publications, 'get'>;
  readonly profile: () => CkanProfile;
  readonly enqueue: (changes: readonly TableChange[]) => Promise<void>;
  readonly log: Log;
  readonly signal: AbortSignal;
}

/** A table of the read-only tier was just published, or found unchanged. */
export type Recheck = (id: ResourceId) => void;

/** Seconds after the publication. A session that is idle gives up its counters after ten seconds at most. */
const recheckAfterSeconds = [1, 3, 12] as const;

export function createRecheck(deps: RecheckDeps): Recheck {
  const timers = new Map<ResourceId, NodeJS.Timeout>();
  /** Their next publication ends it: a token that any transaction changes would be queued for ever. */
  const enqueued = new Set<ResourceId>();
  deps.signal.addEventListener('abort', () => {
    for (const timer of timers.values()) clearTimeout(timer);
  });
  const lookAfter = (id: ResourceId, step: number): void => {
    const seconds = recheckAfterSeconds[step];
    clearTimeout(timers.get(id));
    timers.delete(id);
    if (seconds === undefined || deps.signal.aborted) return;
    const elapsed = recheckAfterSeconds[step - 1] ?? 0;
    const timer = setTimeout(() => void look(id, step), (seconds - elapsed) * 1000).unref();
    timers.set(id, timer);
  };
  const look = async (id: ResourceId, step: number): Promise<void> => {
    const timer = timers.get(id);
    try {
      const change = await changeOf(deps, id);
      // Published once more meanwhile, which began anew.
      if (timers.get(id) !== timer || deps.signal.aborted) return;
      if (change === null) return lookAfter(id, step + 1);
      timers.delete(id);
      enqueued.add(id);
      await deps.enqueue([change]);
    } catch (error) {
      if (deps.signal.aborted) return;
      deps.log.warn({ table: id, reason: errorMessage(error) }, 'not looked at again; the next sweep does');
    }
  };
  return (id) => {
    if (!enqueued.delete(id)) lookAfter(id, 0);
  };
}

async function changeOf(
  { read, publications, profile }: RecheckDeps,
  id: ResourceId,
): Promise<TableChange | null> {
  const [state, record] = [await tableState(read, id), await publications.get(id)];
  if (state === null || record === null) return null;
  return record.token === revisionToken(state, profile()) ? null : { id, bytes: state.bytes };
}
