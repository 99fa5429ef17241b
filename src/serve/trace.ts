/**
 * A request for a dump as a span, a child of the caller's where the proxy passes W3C Trace Context on. It ends with the
 * answer, and says what the log says, without the table's name and the query.
 */
import type { Context, Next } from 'koa';
import { dumpNameFrom, parseRequestTarget } from './dump-url.ts';
import type { ServeDeps } from './context.ts';

const route = '/datastore/dump/{id}';

export async function traceDump(
  { traces, config }: Pick<ServeDeps, 'traces' | 'config'>,
  ctx: Context,
  next: Next,
): Promise<void> {
  const { path } = parseRequestTarget(ctx.req.url ?? '/');
  if (dumpNameFrom(path, config.CKAN__LOCALE_DEFAULT) === null) return next();
  const asked = { 'http.request.method': ctx.method, 'http.route': route };
  const parent = { traceparent: ctx.get('traceparent'), tracestate: ctx.get('tracestate') };
  const answering = async (): Promise<void> => {
    await next();
    const { format, bytes, broken } = ctx.state as { format?: string; bytes?: number; broken?: string };
    const answered = {
      'http.response.status_code': ctx.status,
      'dump.format': format,
      'dump.source': ctx.response.get('X-Dump-Source') || undefined,
      'dump.bytes': bytes,
      'dump.request_id': ctx.response.get('X-Request-ID'),
      'error.type': broken,
    };
    traces.note(answered, faultOf(ctx));
  };
  await traces.span(`${ctx.method} ${route}`, asked, answering, { kind: 'server', parent });
}

/** A client that leaves is no fault of the service. */
function faultOf(ctx: Context): string | undefined {
  const { broken, reason } = ctx.state as { broken?: string; reason?: string };
  if (broken !== undefined) return broken === 'client' ? undefined : (reason ?? broken);
  return ctx.status >= 500 ? (reason ?? `answered ${ctx.status}`) : undefined;
}
