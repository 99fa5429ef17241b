/**
 * Whether this caller may read this table. CKAN is asked as the caller (P9, nothing that CKAN would refuse; P11, never a
 * guess); the answer is kept for a moment (P10, lost access ends in time).
 *
 * CKAN's dump asks for the right to `datastore_search`, so that action with `limit=0` and no total is its own rule.
 * Where ckanext-datastore-authz is installed, `datastore_authorize` answers without touching the DataStore; which of
 * the two is there is found out by asking, again from time to time. Some tables break CKAN's own search (column names it
 * cannot quote, comments that are not JSON): there `resource_show`, the check behind `datastore_search`, decides.
 *
 * Anonymous is asked first, once for all callers: what it may read, everybody may, as bad tokens are anonymous to CKAN.
 * Whatever is not a plain yes or no is `unavailable`, never a guess.
 */
import type { Ckan, CkanAnswer } from '../ckan/client.ts';
import type { Log } from '../log.ts';
import { createLruCache } from '../lru.ts';
import { anonymous, type Caller } from './caller.ts';
import type { Decision, RememberedDecision, SharedDecisions } from './decisions.ts';

type Permit =
  | { readonly kind: 'allowed'; /** Anonymous users may read it too. */ readonly public: boolean }
  | { readonly kind: 'refused' }
  | { readonly kind: 'unavailable'; readonly reason: string };

export interface Permission {
  mayRead(id: string, caller: Caller): Promise<Permit>;
  /** How CKAN is asked, for people: `datastore_authorize`, `datastore_search`, `unknown` before the first answer. */
  how(): string;
}

interface PermissionOptions {
  readonly ckan: Ckan;
  readonly decisionSeconds: number;
  /** CKAN's `public_table_search`: tables that anyone may read, without asking. */
  readonly publicTables: readonly string[];
  readonly shared: SharedDecisions | null;
  readonly now: () => number;
  readonly log: Log;
  readonly onDecision?: (from: 'cache' | 'ckan', outcome: string) => void;
  /** CKAN has said, just now or to another replica, whether anonymous users may read a table. */
  readonly onVisibility?: (id: string, isPublic: boolean) => void;
}

type Answer = Decision | { readonly unavailable: string };

const decisionsKept = 50_000;

/** `DUMPER_AUTHORIZE=off`: everything is public. */
export const openToAll: Permission = {
  mayRead: async () => ({ kind: 'allowed', public: true }),
  how: () => 'off',
};

export function createPermission(options: PermissionOptions): Permission {
  const recent = createLruCache<RememberedDecision>(decisionsKept);
  const pending = new Map<string, Promise<Answer>>();
  const authorizer = createAuthorizer(options);

  const decide = (id: string, caller: Caller): Promise<Answer> => {
    const key = `${caller.key}/${id}`;
    const known = recent.get(key);
    if (known !== undefined && known.endsAt > options.now()) {
      options.onDecision?.('cache', known.decision);
      return Promise.resolve(known.decision);
    }
    const answer = pending.get(key) ?? ask(key, id, caller).finally(() => pending.delete(key));
    pending.set(key, answer);
    return answer;
  };

  const ask = async (key: string, id: string, caller: Caller): Promise<Answer> => {
    const shared = (await options.shared?.get(key)) ?? null;
    if (shared !== null && shared.endsAt > options.now()) {
      recent.set(key, shared);
      if (caller.key === anonymous.key) options.onVisibility?.(id, shared.decision === 'allowed');
      return shared.decision;
    }
    const askedAt = options.now();
    const answer = await authorizer.ask(id, caller);
    options.onDecision?.('ckan', typeof answer === 'string' ? answer : 'unavailable');
    if (typeof answer !== 'string') return answer;
    if (caller.key === anonymous.key) options.onVisibility?.(id, answer === 'allowed');
    const remembered = { decision: answer, endsAt: askedAt + options.decisionSeconds * 1000 };
    recent.set(key, remembered);
    void options.shared?.set(key, remembered);
    return answer;
  };

  return {
    how: authorizer.how,
    mayRead: async (id, caller) => {
      if (options.publicTables.includes(id)) return { kind: 'allowed', public: true };
      const everybody = await decide(id, anonymous);
      if (everybody === 'allowed') return { kind: 'allowed', public: true };
      const answer = caller.key === anonymous.key ? everybody : await decide(id, caller);
      if (typeof answer !== 'string') return { kind: 'unavailable', reason: answer.unavailable };
      return answer === 'refused' ? { kind: 'refused' } : { kind: 'allowed', public: false };
    },
  };
}

interface Authorizer {
  ask(id: string, caller: Caller): Promise<Answer>;
  how(): string;
}

/** A proxy's 400 looks much like CKAN's, and extensions get installed: `datastore_authorize` is tried again after this. */
const tryAgainMilliseconds = 300_000;

/** Asks CKAN by its own rule, in as few questions as its extensions allow. */
function createAuthorizer({ ckan, log, now }: PermissionOptions): Authorizer {
  let tryAgainAt = -Infinity;
  let how: 'unknown' | 'datastore_authorize' | 'datastore_search' = 'unknown';
  const setHow = (found: typeof how): void => {
    if (how !== found) log.info({ action: found }, 'permission: CKAN is asked by this action');
    how = found;
  };
  const ask = async (id: string, caller: Caller): Promise<Answer> => {
    if (now() >= tryAgainAt) {
      const parameters = { resource_id: id, permission: 'read' };
      const answer = await ckan.ask({
        action: 'datastore_authorize',
        parameters,
        credentials: caller.credentials,
        method: 'POST',
      });
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

async function askSearch(ckan: Ckan, id: string, { credentials }: Caller): Promise<Answer> {
  const parameters = { resource_id: id, limit: '0', include_total: 'false' };
  const answer = await ckan.ask({ action: 'datastore_search', parameters, credentials, method: 'GET' });
  const decision = decisionOf(answer);
  if (typeof decision === 'string' || answer.kind === 'unavailable') return decision;
  return decisionOf(
    await ckan.ask({ action: 'resource_show', parameters: { id }, credentials, method: 'GET' }),
  );
}

/** CKAN 2.11 and 2.12 answer 400 with one line of text, `Bad request - Action name not known`, in the site's language. */
function isUnknownAction(answer: CkanAnswer): boolean {
  return answer.status === 400 || (answer.status === 404 && answer.kind === 'unavailable');
}

function decisionOf(answer: CkanAnswer): Answer {
  if (answer.kind === 'unavailable') return { unavailable: answer.reason };
  if (answer.status === 200) return isRestricted(answer.result) ? 'restricted' : 'allowed';
  if (answer.status === 401 || answer.status === 403 || answer.status === 404) return 'refused';
  return { unavailable: `CKAN answered ${answer.status}` };
}

/** What `datastore_authorize` and `package_show` tell of the dataset: private, or in another state than active. */
function isRestricted(result: unknown): boolean {
  const found = (result as { package?: { private?: unknown; state?: unknown } | null } | null | undefined)
    ?.package;
  if (found === undefined || found === null) return false;
  return found.private === true || (typeof found.state === 'string' && found.state !== 'active');
}
