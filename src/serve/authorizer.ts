/**
 * How CKAN is asked whether a caller may read a table, and what its answer means (P9, nothing that CKAN would refuse; P11,
 * never a guess).
 *
 * CKAN's dump asks for the right to `datastore_search`, so that action with `limit=0` and no total is its own rule.
 * Where ckanext-datastore-authz is installed, `datastore_authorize` answers without touching the DataStore; which of
 * the two is there is found out by asking, again from time to time. Some tables break CKAN's own search (column names it
 * cannot quote, comments that are not JSON): there `resource_show`, the check behind `datastore_search`, decides.
 * Whatever is not a plain yes or no is `unavailable`, never a guess.
 */
import type { Ckan, CkanAnswer, CkanRequest } from '../ckan/client.ts';
import type { Log } from '../log.ts';
import { anonymous, type Caller } from './caller.ts';
import type { Decision } from './decisions.ts';

export type PermissionAnswer =
  | Decision
  | {
      readonly unavailable: string;
      /** CKAN said nothing at all, or that it failed; else what it said is no decision. */ readonly isOutage: boolean;
    };

interface Authorizer {
  ask(id: string, caller: Caller): Promise<PermissionAnswer>;
  how(): string;
}

/** A proxy's 400 looks much like CKAN's, and extensions get installed: `datastore_authorize` is tried again after this. */
const tryAgainMilliseconds = 300_000;

/** Asks CKAN by its own rule, in as few questions as its extensions allow. */
export function createAuthorizer({
  ckan,
  log,
  now,
}: {
  readonly ckan: Ckan;
  readonly log: Log;
  readonly now: () => number;
}): Authorizer {
  let tryAgainAt = -Infinity;
  let how: 'unknown' | 'datastore_authorize' | 'datastore_search' = 'unknown';
  const setHow = (found: typeof how): void => {
    if (how !== found) log.info({ action: found }, 'permission: CKAN is asked by this action');
    how = found;
  };
  const ask = async (id: string, caller: Caller): Promise<PermissionAnswer> => {
    if (now() >= tryAgainAt) {
      // One trial at a time: where CKAN is slow, a second question costs the others their decision.
      if (how === 'datastore_search') tryAgainAt = now() + tryAgainMilliseconds;
      const parameters = { resource_id: id, permission: 'read' };
      const action = 'datastore_authorize';
      const answer = await ckan.ask({ action, parameters, ...asCaller(caller), method: 'POST' });
      const decision = decisionOf(answer);
      // Where the other action has answered, a trial that fails changes nothing.
      if (isUnknownAction(answer) || (how === 'datastore_search' && typeof decision !== 'string')) {
        tryAgainAt = now() + tryAgainMilliseconds;
        setHow('datastore_search');
      } else if (typeof decision === 'string') setHow('datastore_authorize');
      else return decision;
      // What is no resource of a dataset (any more) is known to `datastore_search` alone.
      if (decision === 'allowed' || decision === 'restricted') return decision;
    }
    return askSearch(ckan, id, caller);
  };
  return { ask, how: () => how };
}

async function askSearch(ckan: Ckan, id: string, caller: Caller): Promise<PermissionAnswer> {
  const parameters = { resource_id: id, limit: '0', include_total: 'false' };
  const as = asCaller(caller);
  const answer = await ckan.ask({ action: 'datastore_search', parameters, ...as, method: 'GET' });
  const decision = decisionOf(answer);
  if (typeof decision === 'string' || answer.kind === 'unavailable') return decision;
  return decisionOf(await ckan.ask({ action: 'resource_show', parameters: { id }, ...as, method: 'GET' }));
}

/** What anonymous users may read is asked for all callers: its answer is of use to the next one, too. */
function asCaller({ key, credentials }: Caller): Pick<CkanRequest, 'credentials' | 'background'> {
  return { credentials, background: key === anonymous.key };
}

/** CKAN 2.11 and 2.12 answer 400 with one line of text, `Bad request - Action name not known`, in the site's language. */
function isUnknownAction(answer: CkanAnswer): boolean {
  return answer.status === 400 || (answer.status === 404 && answer.kind === 'unavailable');
}

function decisionOf(answer: CkanAnswer): PermissionAnswer {
  if (answer.kind === 'unavailable') {
    return { unavailable: answer.reason, isOutage: answer.status === 0 || answer.status >= 500 };
  }
  if (answer.status === 200) return isRestricted(answer.result) ? 'restricted' : 'allowed';
  if (answer.status === 401 || answer.status === 403 || answer.status === 404) return 'refused';
  return { unavailable: `CKAN answered ${answer.status}`, isOutage: answer.status >= 500 };
}

/** What `datastore_authorize` and `package_show` tell of the dataset: private, or in another state than active. */
function isRestricted(result: unknown): boolean {
  const found = (result as { package?: { private?: unknown; state?: unknown } | null } | null | undefined)
    ?.package;
  if (found === undefined || found === null) return false;
  return found.private === true || (typeof found.state === 'string' && found.state !== 'active');
}
