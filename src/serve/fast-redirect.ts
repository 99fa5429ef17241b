/**
 * The commonest answer, given without Koa: `GET /datastore/dump/<id>` is redirected to a fresh blob. It costs two thirds
 * of what it costs as a middleware (`docs/decisions/09`), and a portal's crawlers ask for little else.
 *
 * The resolution is made by the same function, and the same headers go out. Koa gets whatever is less common, with the
 * resolution that is there already: any other answer than a redirect, other methods and paths, requests of other origins,
 * conditional ones.
 */
import type { IncomingMessage, ServerResponse } from 'node:http';
import { noTraces } from '../traces.ts';
import { redirectHeaders, redirectText, type BlobResponseDeps } from './blob-response.ts';
import type { ServeDeps } from './context.ts';
import { requestIdOf, type RequestLog } from './request-log.ts';
import { readDumpRequest, type DumpRequest, type ResolveDump, type Resolution } from './resolve.ts';

/** What was found out about a request that Koa is to answer. */
export interface PreResolved {
  readonly dumpRequest: DumpRequest;
  readonly resolution: Promise<Resolution>;
  /** `performance.now()` */
  readonly startedAt: number;
}

/**
 * Null: the request is none for this path, and nothing was done. The promise resolves with null when the redirect is
 * sent, else with what Koa need not find out again.
 */
type FastRedirect = (
  request: IncomingMessage,
  response: ServerResponse,
) => Promise<PreResolved | null> | null;

interface FastRedirectDeps extends Pick<ServeDeps, 'config' | 'traces'>, Pick<BlobResponseDeps, 'blobUrls'> {
  readonly resolve: ResolveDump;
  readonly requestLog: RequestLog;
}

/** Null where no dump is answered so: other deliveries, and traces, whose spans Koa makes. */
export function createFastRedirect(deps: FastRedirectDeps): FastRedirect | null {
  const { config, resolve, requestLog } = deps;
  if (config.DUMPER_DELIVERY !== 'redirect' || deps.traces !== noTraces) return null;
  const redirect = async (
    request: IncomingMessage,
    response: ServerResponse,
    path: string,
    dumpRequest: DumpRequest,
  ): Promise<PreResolved | null> => {
    const startedAt = performance.now();
    const shared = resolve(dumpRequest);
    shared.redirectHeaders ??= headersOf(deps, shared.resolution).catch(() => null);
    const headers = await shared.redirectHeaders;
    if (headers === null) return { dumpRequest, resolution: shared.resolution, startedAt };
    const id = requestIdOf(request.headers['x-request-id']);
    response.writeHead(302, [...headers, 'X-Request-ID', id]).end(redirectText);
    const outcome = {
      request: id,
      method: 'GET',
      path,
      status: 302,
      source: 'blob',
      format: dumpRequest.question.kind === 'question' ? dumpRequest.question.format : undefined,
      bytes: 0,
      seconds: (performance.now() - startedAt) / 1000,
    };
    requestLog.count(outcome);
    requestLog.log(outcome);
    return null;
  };
  return (request, response) => {
    const [, path = '', name = '', query = ''] = simpleTarget.exec(request.url ?? '') ?? [];
    if (name === '' || !isUnconditionalGet(request)) return null;
    return redirect(request, response, path, readDumpRequest(config, request.headers, name, query));
  };
}

/** A path that names a table in letters that need no decoding. */
const simpleTarget = /^(\/datastore\/dump\/([\w-]+))(?:\?(.*))?$/;

/** Of the same origin, too. */
function isUnconditionalGet({ method, headers }: IncomingMessage): boolean {
  return method === 'GET' && headers.origin === undefined && headers['if-none-match'] === undefined;
}

/** All headers but the request's id, names and values in turn; null: the answer is no redirect. */
async function headersOf(
  deps: Pick<FastRedirectDeps, 'config' | 'blobUrls'>,
  pending: Promise<Resolution>,
): Promise<readonly string[] | null> {
  const resolution = await pending;
  if (resolution.kind !== 'allowed' || resolution.blob === null || resolution.blob.withoutRedirect)
    return null;
  const headers = { 'X-Content-Type-Options': 'nosniff', ...(await redirectHeaders(deps, resolution.blob)) };
  return Object.entries(headers).flat();
}
