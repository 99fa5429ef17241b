/**
 * What CKAN calls a resource, for the names of files (`DUMPER_FILENAME`), asked as the caller and kept for a minute.
 *
 * Asked only for callers who may read the table. Kept under the caller's own key unless everybody may read it, so that
 * nobody gets a name by another's right (P9, nothing that CKAN would refuse). A CKAN that does not answer costs the name, not the dump.
 */
import type { Ckan } from '../ckan/client.ts';
import { createLruCache } from '../lru.ts';
import type { ResourceId } from '../postgres/table.ts';
import { anonymous, type Caller } from './caller.ts';

export interface ResourceNames {
  /** Null where the resource has none, or CKAN does not say. */
  nameOf(id: ResourceId, caller: Caller, isPublic: boolean): Promise<string | null>;
}

const namesKept = 10_000;
const lifeMilliseconds = 60_000;

/** Where CKAN is not asked. */
export const noResourceNames: ResourceNames = { nameOf: async () => null };

export function createResourceNames(ckan: Ckan, now: () => number): ResourceNames {
  const recent = createLruCache<{ readonly name: Promise<string | null>; readonly endsAt: number }>(
    namesKept,
  );
  return {
    nameOf: (id, caller, isPublic) => {
      const askedAs = isPublic ? anonymous : caller;
      const key = `${askedAs.key}/${id}`;
      const known = recent.get(key);
      if (known !== undefined && known.endsAt > now()) return known.name;
      const name = askName(ckan, id, askedAs);
      recent.set(key, { name, endsAt: now() + lifeMilliseconds });
      return name;
    },
  };
}

async function askName(ckan: Ckan, id: ResourceId, { credentials }: Caller): Promise<string | null> {
  const answer = await ckan.ask({ action: 'resource_show', parameters: { id }, credentials, method: 'GET' });
  if (answer.kind !== 'answer' || answer.status !== 200) return null;
  const name = (answer.result as { name?: unknown } | null | undefined)?.name;
  return typeof name === 'string' && name.trim() !== '' ? name.trim() : null;
}
