/**
 * What is a caller to get? The decision behind every answer of `GET, HEAD /datastore/dump/<id or alias>`.
 *
 * | in this order | verdict |
 * |---|---|
 * | the version of CKAN is not known yet | unavailable |
 * | (2.12) a bad parameter | bad question |
 * | no such table or alias | not found |
 * | CKAN cannot be asked | unavailable |
 * | CKAN refuses the caller | not found |
 * | a bad parameter | bad question |
 * | the whole table, and a blob of its present revision | allowed, with that blob |
 * | anything else | allowed |
 *
 * Promises P4 (the token is read within this very request), P9 and P11. Only CKAN's order of checks differs by version.
 */
import type { IncomingHttpHeaders } from 'node:http';
import type { CkanProfile } from '../ckan/profile.ts';
import { readColumns } from '../postgres/catalogue.ts';
import { contentDisposition } from '../content-disposition.ts';
import { isUnderPublicPrefix } from '../manifest.ts';
import { fileOf, variantOf } from '../format.ts';
import { mapPostgresErrors } from '../postgres/pool.ts';
import type { TableState } from '../postgres/revision.ts';
import { asResourceId, type ResourceId } from '../postgres/table.ts';
import type { Caller } from './caller.ts';
import type { FreshBlob } from './blob-response.ts';
import { fileNameOf, needsName } from './file-name.ts';
import type { LiveRequest } from './live-response.ts';
import { createBatchedLookup } from './batched-lookup.ts';
import type { Question, Refusal } from './question.ts';
import { parseQuestion } from './question/parse.ts';
import { isWholeTable, isWholeFor } from './question/whole.ts';
import { callerFrom } from './who-asks.ts';
import type { ServeDeps } from './context.ts';

export interface DumpRequest {
  /** As it stands in the address, decoded. */
  readonly name: string;
  /** As it stands in the address. */
  readonly query: string;
  /** The same query, read. */
  readonly question: Question | Refusal;
  readonly caller: Caller;
}

/** A question as a path and headers put it. */
export function readDumpRequest(
  deps: Pick<ServeDeps, 'config'>,
  headers: IncomingHttpHeaders,
  name: string,
  query: string,
): DumpRequest {
  return { name, query, question: parseQuestion(query), caller: callerFrom(deps, headers) };
}

export type Resolution =
  /** `message` is for the caller, `reason` for the log. */
  | { readonly kind: 'unavailable'; readonly message: string; readonly reason?: string }
  | { readonly kind: 'bad question'; readonly refusal: Refusal }
  | { readonly kind: 'not found' }
  /** The blob where there is a fresh one, else, or where the store has lost it, live. */
  | { readonly kind: 'allowed'; readonly ask: LiveRequest; readonly blob: FreshBlob | null };

/** Rejects with what Postgres or the store could not do. */
export type ResolveDump = (asked: DumpRequest) => Promise<Resolution>;

/** A table, or CKAN's own view, which is never published. */
type Found = TableState | { readonly id: ResourceId; readonly token: null };

interface Case extends DumpRequest {
  readonly profile: CkanProfile;
  readonly looked: Promise<Found | null>;
}

/**
 * One verdict for all who share a look-up and ask the same with the same credentials: it is found out after each of
 * their requests, as the look-up is (promises P4 and P10), and a crowd at one dump costs little more than one caller.
 */
export function createDumpResolver(deps: ServeDeps): ResolveDump {
  const find = createFind(deps);
  const verdicts = new WeakMap<Promise<Found | null>, Map<string, Promise<Resolution>>>();
  return (asked) => {
    const { question, name, query, caller } = asked;
    const profile = deps.profile();
    if (profile === null) {
      return Promise.resolve({ kind: 'unavailable', message: 'The version of CKAN is not known yet' });
    }
    if (question.kind === 'refused' && profile.parametersBeforeTable) {
      return Promise.resolve({ kind: 'bad question', refusal: question });
    }
    const looked = find(profile, name);
    const shared = verdicts.get(looked) ?? new Map<string, Promise<Resolution>>();
    verdicts.set(looked, shared);
    const key = `${caller.key}\n${query}`;
    const verdict = shared.get(key) ?? judge(deps, { ...asked, profile, looked });
    shared.set(key, verdict);
    return verdict;
  };
}

const metadataView = '_table_metadata';

/**
 * Resolve a name as CKAN does. Its list of tables is a view of its own; other names that begin with `_` are internal,
 * and 2.12 gives them to nobody.
 */
function createFind({ readPool }: ServeDeps): (profile: CkanProfile, name: string) => Promise<Found | null> {
  const lookUp = createBatchedLookup(readPool);
  const findView = async (id: ResourceId): Promise<Found | null> => {
    const columns = await readColumns(readPool, id, { comments: false });
    return columns.length === 0 ? null : { id, token: null };
  };
  return (profile, name) => {
    if (name === metadataView) return findView(asResourceId(name));
    if (name.startsWith('_') && profile.version === '2.12') return Promise.resolve(null);
    return lookUp(name);
  };
}

async function judge(deps: ServeDeps, asked: Case): Promise<Resolution> {
  const { caller, question, profile, looked } = asked;
  const found = await mapPostgresErrors('POSTGRES_UNAVAILABLE', () => looked);
  if (found === null) return { kind: 'not found' };
  const permit = await deps.permission.mayRead(found.id, caller);
  if (permit.kind === 'unavailable') {
    const message = 'CKAN cannot be asked for permission at the moment';
    return { kind: 'unavailable', message, reason: permit.reason };
  }
  if (permit.kind === 'refused') return { kind: 'not found' };
  if (question.kind === 'refused') return { kind: 'bad question', refusal: question };
  const template = deps.config.DUMPER_FILENAME;
  const name = needsName(template) ? await deps.resourceNames.nameOf(found.id, caller, permit.public) : null;
  const named = { asked: asked.name, name, id: found.id, question, profile, now: deps.now() };
  const disposition = contentDisposition(fileNameOf(template, named));
  const ask = { id: found.id, question, profile, public: permit.public, disposition };
  return { kind: 'allowed', ask, blob: await freshBlob(deps, found, ask) };
}

/** The fresh blob of what is asked; null: the answer must be live. */
async function freshBlob(deps: ServeDeps, found: Found, ask: LiveRequest): Promise<FreshBlob | null> {
  const { id, question, profile, disposition } = ask;
  if (question.latest || found.token === null) return null;
  const manifest = await deps.manifests.fresh(found, profile);
  // What no trigger tells (DDL) is heard of by the first who asks.
  if (manifest === null) deps.enqueueStale(id);
  const variant = variantOf(question.format, question.bom);
  const blob = manifest?.blobs[variant];
  if (
    manifest === null ||
    blob === undefined ||
    !isWholeTable(question, manifest) ||
    !isWholeFor(question, manifest.rows)
  )
    return null;
  const exposed = isUnderPublicPrefix(manifest);
  if (exposed !== (ask.public && deps.config.DUMPER_PUBLIC_BLOB_URL !== undefined)) {
    // Its readers are others since: its blobs are being moved.
    deps.manifests.forget(id);
    deps.enqueueStale(id);
    if (exposed && !ask.public) return null;
  }
  return {
    manifest,
    blob,
    public: ask.public,
    disposition,
    ownDisposition: contentDisposition(`${id}.${fileOf(variant).extension}`),
    withoutRedirect: !question.redirect,
  };
}
