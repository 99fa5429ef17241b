/**
 * The service's routes, and what surrounds each answer: a request id, cross-origin headers, one log line, the metrics,
 * and an end for errors that nobody expected. The dump route itself is `route.ts`; most redirects go past Koa (`hot-path.ts`).
 */
import type { IncomingMessage, RequestListener } from 'node:http';
import { Router } from '@koa/router';
import Koa, { type Context, type Next } from 'koa';
import { redact } from '../log.ts';
import { blobsRoute } from '../signed-path.ts';
import { noTraces } from '../traces.ts';
import { answerBlobPath } from './directory-blobs.ts';
import { setCrossOrigin } from './cors.ts';
import { resetSocket } from './client-abort.ts';
import { answerHealth, createReadiness } from './health.ts';
import { createFastRedirect, type PreResolved } from './fast-redirect.ts';
import { createDumpResolver } from './resolve.ts';
import { answerWebhook } from './webhook.ts';
import { createRequestLog, requestIdOf, type RequestOutcome, type RequestLog } from './request-log.ts';
import { answerFrontProbe } from './front-probe.ts';
import { answerStyle, answerTablePage, answerTablesPage } from './pages.ts';
import { answerError, answerPlain } from './errors.ts';
import { answerProblem } from './problem.ts';
import { securityHeaders } from './security-headers.ts';
import { answerRebuildForm, readForm } from './rebuild-form.ts';
import { createDumpRoute, type AnswerDump } from './route.ts';
import { answerRebuild, answerStatus, answerStatusList } from './status.ts';
import { dumpNameFrom, parseRequestTarget } from './dump-url.ts';
import { traceDump } from './trace.ts';
import type { ServeDeps } from './context.ts';

/** All that the service answers, as the listener of an HTTP server. */
export function createApp(deps: ServeDeps): RequestListener {
  const judge = createDumpResolver(deps);
  const observer = createRequestLog(deps);
  const early = new WeakMap<IncomingMessage, PreResolved>();
  const app = new Koa();
  // Faults of a connection; those of ours were logged and answered below.
  app.on('error', (error: unknown) => deps.log.debug({ err: error }, 'connection fault'));
  if (deps.traces !== noTraces) app.use((ctx, next) => traceDump(deps, ctx, next));
  app.use((ctx, next) => {
    const startedAt = early.get(ctx.req)?.startedAt ?? performance.now();
    return observe(deps, observer, { ctx, next, startedAt });
  });
  const answerDump = createDumpRoute(deps, { judge, early });
  app.use((ctx, next) => dumps(deps, answerDump, ctx, next));
  app.use(securityHeaders);
  const router = createRouter(deps);
  app.use(router.routes());
  app.use(router.allowedMethods());
  app.use((ctx) => answerProblem(ctx, 404, 'There is nothing at this address'));
  return createFastRedirect(deps, { judge, observer, early, koa: app.callback() });
}

async function observe(
  deps: ServeDeps,
  observer: RequestLog,
  { ctx, next, startedAt }: { readonly ctx: Context; readonly next: Next; readonly startedAt: number },
): Promise<void> {
  const id = requestIdOf(ctx.get('X-Request-ID'));
  ctx.set('X-Request-ID', id);
  ctx.set('X-Content-Type-Options', 'nosniff');
  setCrossOrigin(ctx, deps.config);
  let fault: unknown;
  try {
    await next();
  } catch (error) {
    if (respondWithError(deps, ctx, error) === 'unexpected') fault = error;
  }
  const given = outcomeOf(ctx, id, (performance.now() - startedAt) / 1000);
  if (ctx.state['route'] === 'dump') observer.count(given);
  observer.log(given, fault);
}

function outcomeOf(ctx: Context, request: string, seconds: number): RequestOutcome {
  const { format, bytes, broken, reason } = ctx.state as Partial<RequestOutcome>;
  const path = redact(parseRequestTarget(ctx.req.url ?? '').path).slice(0, 300);
  const source = ctx.response.get('X-Dump-Source') || undefined;
  return {
    request,
    method: ctx.method,
    path,
    status: ctx.status,
    source,
    format,
    bytes,
    broken,
    reason,
    seconds,
  };
}

/** What nobody caught: an answer while there is none, else a reset, so that the client sees the break. */
function respondWithError(deps: ServeDeps, ctx: Context, error: unknown): 'expected' | 'unexpected' {
  if (ctx.res.headersSent) {
    ctx.respond = false;
    resetSocket(ctx.req);
    return 'unexpected';
  }
  ctx.respond = true;
  if (ctx.state['route'] === 'dump') return answerError(ctx, deps.config, error);
  const verdict = answerError(ctx, deps.config, error);
  answerProblem(ctx, ctx.status, String(ctx.body).trim());
  return verdict;
}

const dumpMethods = 'OPTIONS, GET, HEAD';

/** The two routes whose paths are read as they stand in the request line. */
async function dumps(deps: ServeDeps, answerDump: AnswerDump, ctx: Context, next: Next): Promise<void> {
  const url = ctx.req.url ?? '/';
  const { path, query } = parseRequestTarget(url);
  if (path.startsWith(blobsRoute)) return answerBlobPath(deps, ctx, path, url);
  const name = dumpNameFrom(path, deps.config.CKAN__LOCALE_DEFAULT);
  if (name === null) {
    if (path.includes('/datastore/'))
      return answerPlain(ctx, deps.config, 404, 'There is nothing at this address');
    return next();
  }
  ctx.state['route'] = 'dump';
  if (ctx.method === 'OPTIONS') {
    ctx.set('Allow', dumpMethods);
    ctx.status = 200;
    ctx.body = '';
    return;
  }
  if (ctx.method !== 'GET' && ctx.method !== 'HEAD') {
    ctx.set('Allow', dumpMethods);
    return answerPlain(ctx, deps.config, 405, 'The method is not allowed for the requested URL.');
  }
  if (await answerFrontProbe(deps, ctx)) return;
  return answerDump(ctx, name, query);
}

function createRouter(deps: ServeDeps): Router {
  const router = new Router();
  const readiness = createReadiness(deps);
  const idOf = (ctx: { params: Record<string, string> }): string => ctx.params['id'] ?? '';
  router.get('/healthz', (ctx) => answerHealth(ctx));
  router.get('/readyz', (ctx) => readiness.answer(ctx));
  router.get('/metrics', async (ctx) => {
    await readiness.refresh();
    ctx.set('Content-Type', deps.metrics.registry.contentType);
    ctx.body = await deps.metrics.registry.metrics();
  });
  router.get('/openapi.yaml', (ctx) => {
    if (deps.openapi === null) return answerProblem(ctx, 404, 'There is nothing at this address');
    ctx.type = 'application/yaml';
    ctx.body = deps.openapi;
  });
  router.post('/notices', (ctx) => answerWebhook(deps, ctx));
  router.get('/status', (ctx) => answerStatusList(deps, ctx));
  router.get('/status/:id', (ctx) => answerStatus(deps, ctx, idOf(ctx)));
  router.post('/status/:id/rebuild', (ctx) => answerRebuild(deps, ctx, idOf(ctx)));
  router.get('/', (ctx) => answerTablesPage(deps, ctx));
  router.get('/page.css', (ctx) => answerStyle(ctx));
  router.get('/tables/:id', (ctx) => answerTablePage(deps, ctx, idOf(ctx)));
  router.post('/tables/:id/rebuild', readForm, (ctx) => answerRebuildForm(deps, ctx, idOf(ctx)));
  return router;
}
