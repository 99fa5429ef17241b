/**
 * The commonest answer, given without Koa: `GET /datastore/dump/<id>` is redirected to a fresh blob. It costs two thirds
 * of what it costs as a middleware (`docs/decisions/09`), and a portal's crawlers ask for little else.
 *
 * The same judge decides, and the same headers go out. Whatever is less common goes to Koa, with the verdict that is
 * there already: any other answer than a redirect, other methods and paths, requests of other origins, conditional ones.
 */
import type { IncomingMessage, RequestListener, ServerResponse } from 'node:http';
import { noTraces } from '../traces.ts';
import { readDumpRequest, type DumpRequest, type ResolveDump, type Resolution } from './resolve.ts';
import { requestIdOf, type RequestLog } from './request-log.ts';
import { redirectHead, redirectText } from './redirect.ts';
import type { ServeDeps } from './context.ts';

/** What was found out of a request before Koa got it. */
export interface PreResolved {
  readonly asked: DumpRequest;
  readonly verdict: Promise<Resolution>;
  /** `performance.now()` */
  readonly startedAt: number;
}

export interface FastRedirectOptions {
  readonly judge: ResolveDump;
  readonly observer: RequestLog;
  readonly early: WeakMap<IncomingMessage, PreResolved>;
  readonly koa: RequestListener;
}

export function createFastRedirect(deps: ServeDeps, options: FastRedirectOptions): RequestListener {
  const { judge, observer, early, koa } = options;
  if (deps.config.DUMPER_DELIVERY !== 'redirect' || deps.traces !== noTraces) return koa;
  const headOf = createHeads(deps);
  const answer = async (
    request: IncomingMessage,
    response: ServerResponse,
    path: string,
    asked: DumpRequest,
  ) => {
    const startedAt = performance.now();
    const verdict = judge(asked);
    const head = await headOf(verdict);
    if (head === null) {
      early.set(request, { asked, verdict, startedAt });
      return koa(request, response);
    }
    const id = requestIdOf(request.headers['x-request-id']);
    response.writeHead(302, [...head, 'X-Request-ID', id]).end(redirectText);
    const given = {
      request: id,
      method: 'GET',
      path,
      status: 302,
      source: 'blob',
      format: asked.question.kind === 'question' ? asked.question.format : undefined,
      bytes: 0,
      seconds: (performance.now() - startedAt) / 1000,
    };
    observer.count(given);
    observer.log(given);
  };
  return (request, response) => {
    const [, path = '', name = '', query = ''] = plainTarget.exec(request.url ?? '') ?? [];
    if (name === '' || !isPlain(request)) koa(request, response);
    else {
      const asked = readDumpRequest(deps, request.headers, name, query);
      answer(request, response, path, asked).catch(() => koa(request, response));
    }
  };
}

/** A path that names a table in letters that need no decoding. */
const plainTarget = /^(\/datastore\/dump\/([\w-]+))(?:\?(.*))?$/;

function isPlain({ method, headers }: IncomingMessage): boolean {
  return method === 'GET' && headers.origin === undefined && headers['if-none-match'] === undefined;
}

type Head = readonly string[];

/** What a redirect says, but for the id of its request, names and values in turn; null: the verdict is no redirect. */
function createHeads(deps: ServeDeps): (verdict: Promise<Resolution>) => Promise<Head | null> {
  const heads = new WeakMap<Promise<Resolution>, Promise<Head | null>>();
  return (verdict) => {
    const head = heads.get(verdict) ?? headOf(deps, verdict).catch(() => null);
    heads.set(verdict, head);
    return head;
  };
}

async function headOf(deps: ServeDeps, judged: Promise<Resolution>): Promise<Head | null> {
  const verdict = await judged;
  if (verdict.kind !== 'allowed' || verdict.blob === null || verdict.blob.withoutRedirect) return null;
  const head = { 'X-Content-Type-Options': 'nosniff', ...(await redirectHead(deps, verdict.blob)) };
  return Object.entries(head).flat();
}
