/**
 * What a caller is to get: the decision behind every answer of `GET, HEAD /datastore/dump/<id or alias>`.
 *
 * | in this order | resolution |
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
 * The token is read within this very request (P4, no stale blob); nothing is given that CKAN would refuse (P9), and
 * without CKAN's word nothing at all (P11, never guess). Only CKAN's order of checks differs by version.
 */
import type { IncomingHttpHeaders } from 'node:http';
import type { CkanProfile } from '../ckan/profile.ts';
import type { Config } from '../config/config.ts';
import { contentDisposition } from '../content-disposition.ts';
import { fileOf, variantOf } from '../format.ts';
import { isUnderPublicPrefix } from '../manifest.ts';
import { readColumns } from '../postgres/catalogue.ts';
import { mapPostgresErrors } from '../postgres/pool.ts';
import type { TableState } from '../postgres/revision.ts';
import { asResourceId, type ResourceId } from '../postgres/table.ts';
import { createBatchedLookup, type TableLookup } from './batched-lookup.ts';
import type { BlobResponse } from './blob-response.ts';
import { callerFrom, type Caller } from './caller.ts';
import type { ServeDeps } from './context.ts';
import { fileNameOf, needsResourceName } from './file-name.ts';
import type { LiveRequest } from './live-response.ts';
import { parseQuestion } from './question/parse.ts';
import type { Question, Refusal } from './question/question.ts';
import { isWholeTable } from './question/whole-table.ts';

/** A request for a dump, read from its path and headers. */
export interface DumpRequest {
  /** As it stands in the address, decoded. */
  readonly name: string;
  /** As it stands in the address. */
  readonly query: string;
  /** The same query, parsed. */
  readonly question: Question | Refusal;
  readonly caller: Caller;
}

export function readDumpRequest(
  config: Config,
  headers: IncomingHttpHeaders,
  name: string,
  query: string,
): DumpRequest {
  return { name, query, question: parseQuestion(query), caller: callerFrom(config, headers) };
}

export type Resolution =
  /** `message` is for the caller, `reason` for the log. */
  | { readonly kind: 'unavailable'; readonly message: string; readonly reason?: string }
  | { readonly kind: 'bad question'; readonly refusal: Refusal }
  | { readonly kind: 'not found' }
  /** The blob where there is a fresh one, else, or where the store has lost it, live. */
  | { readonly kind: 'allowed'; readonly live: LiveRequest; readonly blob: BlobResponse | null };

/** One resolution for all requests that get the same answer. */
interface SharedResolution {
  /** Rejects with what Postgres or the store could not do. */
  readonly resolution: Promise<Resolution>;
  /** The redirect's headers, once `fast-redirect.ts` has made them; null: the answer is no redirect. */
  redirectHeaders?: Promise<readonly string[] | null>;
}

export type ResolveDump = (request: DumpRequest) => SharedResolution;

type ResolveDeps = Pick<
  ServeDeps,
  'config' | 'profile' | 'readPool' | 'permission' | 'resourceNames' | 'manifests' | 'enqueueStale' | 'now'
>;

/** A table, or CKAN's own view, which is never published. */
type Found = TableState | { readonly id: ResourceId; readonly token: null };

type Lookup = TableLookup<Found, SharedResolution>;

/**
 * Requests that share a lookup and ask the same with the same credentials share one resolution. It is found after each
 * of them has arrived, as the lookup is (P4, no stale blob; P10, lost access ends in time), and a crowd at one dump costs
 * little more than one caller.
 */
export function createDumpResolver(deps: ResolveDeps): ResolveDump {
  const lookUp = createLookup(deps);
  return (request) => {
    const { question, name, query, caller } = request;
    const profile = deps.profile();
    if (profile === null) {
      return withoutLookup({ kind: 'unavailable', message: 'The version of CKAN is not known yet' });
    }
    if (question.kind === 'refused' && profile.parametersBeforeTable) {
      return withoutLookup({ kind: 'bad question', refusal: question });
    }
    const { found, shared } = lookUp(profile, name);
    const key = `${caller.key}\n${query}`;
    const alike = shared.get(key);
    if (alike !== undefined) return alike;
    const first = { resolution: resolve(deps, request, profile, found) };
    shared.set(key, first);
    return first;
  };
}

function withoutLookup(resolution: Resolution): SharedResolution {
  return { resolution: Promise.resolve(resolution) };
}

const metadataView = '_table_metadata';

/**
 * Look a name up as CKAN does. Its list of tables is a view of its own; other names that begin with `_` are internal, and
 * 2.12 gives them to nobody.
 */
function createLookup({
  readPool,
}: Pick<ServeDeps, 'readPool'>): (profile: CkanProfile, name: string) => Lookup {
  const lookUpTable = createBatchedLookup<SharedResolution>(readPool);
  const unbatched = (found: Promise<Found | null>): Lookup => ({ found, shared: new Map() });
  const findView = async (id: ResourceId): Promise<Found | null> => {
    const columns = await readColumns(readPool, id);
    return columns.length === 0 ? null : { id, token: null };
  };
  return (profile, name) => {
    if (name === metadataView) return unbatched(findView(asResourceId(name)));
    if (name.startsWith('_') && profile.version === '2.12') return unbatched(Promise.resolve(null));
    return lookUpTable(name);
  };
}

async function resolve(
  deps: ResolveDeps,
  { caller, question, name }: DumpRequest,
  profile: CkanProfile,
  lookup: Promise<Found | null>,
): Promise<Resolution> {
  const found = await mapPostgresErrors('POSTGRES_UNAVAILABLE', () => lookup);
  if (found === null) return { kind: 'not found' };
  const permit = await deps.permission.mayRead(found.id, caller);
  if (permit.kind === 'unavailable') {
    const message = 'CKAN cannot be asked for permission at the moment';
    return { kind: 'unavailable', message, reason: permit.reason };
  }
  if (permit.kind === 'refused') return { kind: 'not found' };
  if (question.kind === 'refused') return { kind: 'bad question', refusal: question };
  const template = deps.config.DUMPER_FILENAME;
  const resourceName = needsResourceName(template)
    ? await deps.resourceNames.nameOf(found.id, caller, permit.public)
    : null;
  const named = { requestedName: name, resourceName, id: found.id, question, profile, now: deps.now() };
  const disposition = contentDisposition(fileNameOf(template, named));
  const live = { id: found.id, question, profile, public: permit.public, disposition };
  return { kind: 'allowed', live, blob: await freshBlob(deps, found, live) };
}

/** The fresh blob of what was asked for; null: the answer must be live. */
async function freshBlob(
  deps: Pick<ResolveDeps, 'config' | 'manifests' | 'enqueueStale'>,
  found: Found,
  { id, question, profile, disposition, public: isPublic }: LiveRequest,
): Promise<BlobResponse | null> {
  if (question.latest || found.token === null) return null;
  const manifest = await deps.manifests.fresh(found, profile);
  // No trigger tells of DDL: the first request that meets it does.
  if (manifest === null) deps.enqueueStale(id);
  const variant = variantOf(question.format, question.bom);
  const blob = manifest?.blobs[variant];
  if (manifest === null || blob === undefined || !isWholeTable(question, manifest)) return null;
  const isUnderPublic = isUnderPublicPrefix(manifest);
  if (isUnderPublic !== (isPublic && deps.config.DUMPER_PUBLIC_BLOB_URL !== undefined)) {
    // Its visibility has changed since: its blobs are being moved.
    deps.manifests.forget(id);
    deps.enqueueStale(id);
    if (isUnderPublic && !isPublic) return null;
  }
  return {
    key: blob.key,
    bytes: blob.bytes,
    contentType: blob.content_type,
    disposition,
    isRenamed: disposition !== contentDisposition(`${id}.${fileOf(variant).extension}`),
    etag: `"sha256-${blob.sha256}"`,
    sha256: blob.sha256,
    modifiedAt: new Date(manifest.published_at),
    revision: manifest.revision,
    public: isPublic,
    withoutRedirect: !question.redirect,
  };
}
