/**
 * What is recorded of each answer, whichever path gave it: its id, its line in the log, its share of the metrics, and its
 * span, a child of the caller's where the proxy passes W3C Trace Context on. The span says what the log says, without
 * the table's name and the query.
 */
import { randomUUID } from 'node:crypto';
import type { Next } from 'koa';
import { redact, withoutRedaction } from '../log.ts';
import type { ServeDeps } from './context.ts';
import { setCrossOrigin } from './cors.ts';
import { dumpNameFrom, parseRequestTarget } from './dump-url.ts';
import { respondWithError } from './errors.ts';
import type { RequestState, ServeContext } from './request-state.ts';

/** An answer that has ended. */
interface RequestOutcome extends Pick<RequestState, 'format' | 'bytes' | 'broken' | 'reason'> {
  /** The request's id. */
  readonly request: string;
  readonly method: string;
  /** As it stands in the request line, without the query. */
  readonly path: string;
  readonly status: number;
  /** `blob`, `live`, or none. */
  readonly source: string | undefined;
  readonly seconds: number;
}

export interface RequestLog {
  /** Of the dump route alone. */
  count(outcome: RequestOutcome): void;
  /** `fault`: what nobody expected. */
  log(outcome: RequestOutcome, fault?: unknown): void;
}

export function createRequestLog({ metrics, log }: Pick<ServeDeps, 'metrics' | 'log'>): RequestLog {
  const requestLog = withoutRedaction(log);
  return {
    count: ({ source = 'none', status, format = 'none', seconds, bytes, broken }) => {
      metrics.answers.inc({ source, status: String(status), format });
      metrics.answerSeconds.observe({ source }, seconds);
      if (bytes) metrics.answerBytes.inc({ source }, bytes);
      if (broken !== undefined) metrics.brokenAnswers.inc({ cause: broken });
    },
    log: (outcome, fault) => {
      if (fault !== undefined) requestLog.error({ ...lineOf(outcome), err: fault }, 'request failed');
      else if (requestLog.isLevelEnabled('info')) requestLog.info(lineOf(outcome), 'request');
    },
  };
}

function lineOf({
  request,
  method,
  path,
  status,
  source,
  bytes,
  seconds,
  broken,
  reason,
}: RequestOutcome): object {
  const milliseconds = Math.round(seconds * 1000);
  return { request, method, path, status, source, bytes, milliseconds, broken, reason };
}

/**
 * Around each answer of Koa's: the headers that all answers have, the answer to errors that nobody caught, its log line
 * and its metrics. The fast redirect records itself.
 */
export async function recordAnswer(
  { config, requestLog }: Pick<ServeDeps, 'config'> & { readonly requestLog: RequestLog },
  ctx: ServeContext,
  next: Next,
  startedAt: number,
): Promise<void> {
  const id = requestIdOf(ctx.get('X-Request-ID'));
  ctx.set('X-Request-ID', id);
  ctx.set('X-Content-Type-Options', 'nosniff');
  setCrossOrigin(ctx, config);
  let fault: unknown;
  try {
    await next();
  } catch (error) {
    if (respondWithError(ctx, config, error) === 'unexpected') fault = error;
  }
  const outcome = outcomeOf(ctx, id, (performance.now() - startedAt) / 1000);
  if (ctx.state.route === 'dump') requestLog.count(outcome);
  requestLog.log(outcome, fault);
}

function outcomeOf(ctx: ServeContext, request: string, seconds: number): RequestOutcome {
  const { format, bytes, broken, reason } = ctx.state;
  return {
    request,
    method: ctx.method,
    path: redact(parseRequestTarget(ctx.req.url ?? '').path).slice(0, 300),
    status: ctx.status,
    source: ctx.response.get('X-Dump-Source') || undefined,
    format,
    bytes,
    broken,
    reason,
    seconds,
  };
}

const requestIdPattern = /^[\w.:/+=-]{1,128}$/;

/** The id that the proxy in front gave a request, else a new one. */
export function requestIdOf(header: string | string[] | undefined): string {
  return typeof header === 'string' && requestIdPattern.test(header) ? header : randomUUID();
}

const dumpRoute = '/datastore/dump/{id}';

/** A span around the rest of the answer, if it is a dump's. */
export async function traceDump(
  { traces, config }: Pick<ServeDeps, 'traces' | 'config'>,
  ctx: ServeContext,
  next: Next,
): Promise<void> {
  const { path } = parseRequestTarget(ctx.req.url ?? '/');
  if (dumpNameFrom(path, config.CKAN__LOCALE_DEFAULT) === null) return next();
  const attributes = { 'http.request.method': ctx.method, 'http.route': dumpRoute };
  const parent = { traceparent: ctx.get('traceparent'), tracestate: ctx.get('tracestate') };
  const answer = async (): Promise<void> => {
    await next();
    const { format, bytes, broken } = ctx.state;
    const outcome = {
      'http.response.status_code': ctx.status,
      'dump.format': format,
      'dump.source': ctx.response.get('X-Dump-Source') || undefined,
      'dump.bytes': bytes,
      'dump.request_id': ctx.response.get('X-Request-ID'),
      'error.type': broken,
    };
    traces.note(outcome, faultOf(ctx));
  };
  await traces.span(`${ctx.method} ${dumpRoute}`, attributes, answer, { kind: 'server', parent });
}

/** A client that leaves is no fault of the service. */
function faultOf({ state: { broken, reason }, status }: ServeContext): string | undefined {
  if (broken !== undefined) return broken === 'client' ? undefined : (reason ?? broken);
  return status >= 500 ? (reason ?? `answered ${status}`) : undefined;
}
