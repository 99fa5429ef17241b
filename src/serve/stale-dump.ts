/**
 * The last whole dump of a table that is being loaded, for operators who ask for it (`DUMPER_SERVE_STALE_SECONDS`). A
 * loader empties a table, or makes it anew, and fills it in many commits; until it has come to rest readers would get what
 * CKAN gives: a header, some of the rows. (While there is no table CKAN has no word on who may read it, so nothing is given.)
 *
 * It is the one exception to P4 (no stale blob), and the answer says so (`X-Dump-Stale-Since`). It ends that many seconds
 * after the first change that no publication contains, as the state database knows it; where that is not known the answer
 * is live. A table whose visibility has changed since is never given so (P9, nothing that CKAN would refuse).
 */
import { withTimeout } from '../async/timeout.ts';
import type { Manifest } from '../manifest.ts';
import type { ResourceId } from '../postgres/table.ts';
import type { PublicationRecord } from '../state/publications.ts';
import type { ServeDeps } from './context.ts';

type StaleDumpDeps = Pick<ServeDeps, 'config' | 'manifests' | 'publications' | 'now'>;

interface StaleDump {
  readonly manifest: Manifest;
  /** Of the first change that it does not contain. */
  readonly since: Date;
}

/** A state database that hangs must not hold up an answer that can be given live. */
const deadlineMilliseconds = 1000;

/** `token`: the one that the table has now. */
export async function staleDump(
  deps: StaleDumpDeps,
  { id, token, isPublic }: { readonly id: ResourceId; readonly token: string; readonly isPublic: boolean },
): Promise<StaleDump | null> {
  const { config, publications } = deps;
  if (config.DUMPER_SERVE_STALE_SECONDS === 0 || publications === null) return null;
  const record = await withTimeout(publications.get(id), {
    milliseconds: deadlineMilliseconds,
    onTimeout: () => new Error('the state database did not answer in time'),
  }).catch(() => null);
  const since = record?.staleSince ?? null;
  if (record === null || since === null || !isBeingLoaded(deps, record, since)) return null;
  const manifest = await deps.manifests.recent(id, token);
  return manifest === null || manifest.public !== isPublic ? null : { manifest, since };
}

function isBeingLoaded(
  { config, now }: StaleDumpDeps,
  { state, changedAt }: PublicationRecord,
  since: Date,
): boolean {
  const secondsSince = (time: Date): number => (now().getTime() - time.getTime()) / 1000;
  if (secondsSince(since) > config.DUMPER_SERVE_STALE_SECONDS) return false;
  const isChanging = changedAt !== null && secondsSince(changedAt) < config.DUMPER_QUIET_SECONDS;
  return isChanging || state === 'pending' || state === 'building';
}
