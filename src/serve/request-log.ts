/**
 * What is recorded of each answer, whichever path gave it: its id, its line in the log, its share of the metrics, and its
 * span, a child of the caller's where the proxy passes W3C Trace Context on. The span says what the log says, without
 * the table's name and the query.
 */
import { randomUUID } from 'node:crypto';
import type { IncomingMessage } from 'node:http';
import type { Next } from 'koa';
import type { Config } from '../config/config.ts';
import { redact, withoutRedaction } from '../log.ts';
import type { ServeDeps } from './context.ts';
import { clientAddress } from './client-address.ts';
import { networkOf } from './client-network.ts';
import { setCrossOrigin } from './cors.ts';
import { dumpNameFrom, parseRequestTarget } from './dump-url.ts';
import { respondWithError } from './errors.ts';
import { questionSize, questionText } from './question-size.ts';
import { healthPath, type RequestState, type ServeContext } from './request-state.ts';

/** An answer that has ended. */
interface RequestOutcome extends Pick<RequestState, 'format' | 'query' | 'bytes' | 'broken' | 'reason'> {
  /** The request's id. */
  readonly request: string;
  /** Of the client, as far as it may be logged. */
  readonly address: string | undefined;
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
      const isDebug = requestLog.isLevelEnabled('debug');
      if (fault !== undefined)
        requestLog.error({ ...lineOf(outcome, isDebug), err: fault }, 'request failed');
      else {
        // A front asks for health before each dump.
        const level = outcome.path === healthPath ? 'debug' : 'info';
        if (requestLog.isLevelEnabled(level)) requestLog[level](lineOf(outcome, isDebug), 'request');
      }
    },
  };
}

function lineOf({ seconds, query = '', reason, ...outcome }: RequestOutcome, withQuery: boolean): object {
  const { request, address, method, path, status, source, format, bytes, broken } = outcome;
  return {
    request,
    address,
    method,
    path,
    status,
    source,
    format,
    question: questionSize(query),
    query: withQuery ? questionText(query) : undefined,
    bytes,
    milliseconds: Math.round(seconds * 1000),
    broken,
    reason: reason === undefined ? undefined : redact(reason),
  };
}

/** The client's address as `DUMPER_LOG_ADDRESS` lets it be logged. */
export function loggedAddress(
  config: Pick<Config, 'DUMPER_LOG_ADDRESS' | 'DUMPER_TRUSTED_PROXIES'>,
  request: Pick<IncomingMessage, 'headers' | 'socket'>,
): string | undefined {
  if (config.DUMPER_LOG_ADDRESS === 'off') return undefined;
  const address = clientAddress(request, config.DUMPER_TRUSTED_PROXIES) ?? request.socket.remoteAddress ?? '';
  return (config.DUMPER_LOG_ADDRESS === 'full' ? address : networkOf(address)) || undefined;
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
  const outcome = outcomeOf(ctx, id, loggedAddress(config, ctx.req), (performance.now() - startedAt) / 1000);
  if (ctx.state.route === 'dump') requestLog.count(outcome);
  requestLog.log(outcome, fault);
}

function outcomeOf(
  ctx: ServeContext,
  request: string,
  address: string | undefined,
  seconds: number,
): RequestOutcome {
  const { format, query, bytes, broken, reason } = ctx.state;
  return {
    request,
    address,
    method: ctx.method,
    path: redact(parseRequestTarget(ctx.req.url ?? '').path).slice(0, 300),
    status: ctx.status,
    source: ctx.response.get('X-Dump-Source') || undefined,
    format,
    query,
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
