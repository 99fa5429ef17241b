/**
 * The service's routes, what surrounds each answer (`request-log.ts`), and the way past Koa that most redirects take
 * (`fast-redirect.ts`).
 *
 * A dump is asked for, and its resolution (`resolve.ts`) becomes the answer:
 *
 * | resolution | answer |
 * |---|---|
 * | unavailable | 503 |
 * | bad question | 400 |
 * | not found | 404, the same words for what is not there and what the caller may not see |
 * | allowed, with a blob | the blob: 302, 200, 206, 304 or 416 (`blob-response.ts`) |
 * | allowed | live, 200; 400 for what Postgres refuses; 503 without a slot (`live-response.ts`) |
 */
import type { IncomingMessage, RequestListener } from 'node:http';
import { Router } from '@koa/router';
import Koa, { type Next } from 'koa';
import { blobsRoute } from '../signed-path.ts';
import { noTraces } from '../traces.ts';
import { createBlobUrls, respondWithBlob, type BlobResponseDeps } from './blob-response.ts';
import type { ServeDeps } from './context.ts';
import { answerBlobPath } from './directory-blobs.ts';
import { dumpNameFrom, parseRequestTarget } from './dump-url.ts';
import {
  answerProblem,
  answerText,
  answerUnavailable,
  notFoundMessage,
  unavailableRetrySeconds,
} from './errors.ts';
import { createFastRedirect, type PreResolved } from './fast-redirect.ts';
import { answerHealth, createReadiness } from './health.ts';
import { respondWithLive } from './live-response.ts';
import { answerRebuildForm, answerStyle, answerTablePage, answerTablesPage, readForm } from './pages.ts';
import { createRequestLog, recordAnswer, traceDump, type RequestLog } from './request-log.ts';
import type { RequestState, ServeContext } from './request-state.ts';
import { createDumpResolver, readDumpRequest, type ResolveDump, type Resolution } from './resolve.ts';
import { securityHeaders } from './security-headers.ts';
import { answerRebuild, answerStatus, answerStatusList } from './status.ts';
import { answerWebhook } from './webhook.ts';

interface AppDeps extends ServeDeps, BlobResponseDeps {
  readonly resolve: ResolveDump;
  readonly requestLog: RequestLog;
  /** What the fast redirect found out about a request before it passed it on. */
  readonly preResolved: WeakMap<IncomingMessage, PreResolved>;
}

/** All that the service answers, as the listener of an HTTP server. */
export function createApp(serveDeps: ServeDeps): RequestListener {
  const deps: AppDeps = {
    ...serveDeps,
    blobUrls: createBlobUrls(serveDeps),
    resolve: createDumpResolver(serveDeps),
    requestLog: createRequestLog(serveDeps),
    preResolved: new WeakMap(),
  };
  const app = new Koa<RequestState>();
  // Faults of a connection; those of ours were logged and answered below.
  app.on('error', (error: unknown) => deps.log.debug({ err: error }, 'connection fault'));
  if (deps.traces !== noTraces) app.use((ctx, next) => traceDump(deps, ctx, next));
  app.use((ctx, next) => {
    const startedAt = deps.preResolved.get(ctx.req)?.startedAt ?? performance.now();
    return recordAnswer(deps, ctx, next, startedAt);
  });
  app.use((ctx, next) => answerByPath(deps, ctx, next));
  app.use(securityHeaders);
  const router = createRouter(deps);
  app.use(router.routes());
  app.use(router.allowedMethods());
  app.use((ctx) => answerProblem(ctx, 404, 'There is nothing at this address'));
  return listen(deps, app.callback());
}

/** The fast redirect where it applies, else Koa with what was found out. */
function listen(deps: AppDeps, koa: RequestListener): RequestListener {
  const redirect = createFastRedirect(deps);
  if (redirect === null) return koa;
  return (request, response) => {
    const redirected = redirect(request, response);
    if (redirected === null) return koa(request, response);
    redirected.then(
      (preResolved) => {
        if (preResolved === null) return;
        deps.preResolved.set(request, preResolved);
        koa(request, response);
      },
      () => koa(request, response),
    );
  };
}

const dumpMethods = 'OPTIONS, GET, HEAD';

/** The two routes whose paths are read as they stand in the request line: blobs and dumps. */
async function answerByPath(deps: AppDeps, ctx: ServeContext, next: Next): Promise<void> {
  const { config } = deps;
  const url = ctx.req.url ?? '/';
  const { path, query } = parseRequestTarget(url);
  if (path.startsWith(blobsRoute)) return answerBlobPath(deps, ctx, path, url);
  const name = dumpNameFrom(path, config.CKAN__LOCALE_DEFAULT);
  if (name === null) {
    if (path.includes('/datastore/')) return answerText(ctx, config, 404, 'There is nothing at this address');
    return next();
  }
  ctx.state.route = 'dump';
  if (ctx.method === 'OPTIONS') {
    ctx.set('Allow', dumpMethods);
    ctx.status = 200;
    ctx.body = '';
    return;
  }
  if (ctx.method !== 'GET' && ctx.method !== 'HEAD') {
    ctx.set('Allow', dumpMethods);
    return answerText(ctx, config, 405, 'The method is not allowed for the requested URL.');
  }
  return answerDump(deps, ctx, name, query);
}

async function answerDump(deps: AppDeps, ctx: ServeContext, name: string, query: string): Promise<void> {
  const { config, traces, resolve, preResolved } = deps;
  const known = preResolved.get(ctx.req);
  const dumpRequest = known?.dumpRequest ?? readDumpRequest(config, ctx.headers, name, query);
  if (dumpRequest.question.kind === 'question') ctx.state.format = dumpRequest.question.format;
  const resolution = await traces.span(
    'resolve',
    {},
    () => known?.resolution ?? resolve(dumpRequest).resolution,
  );
  switch (resolution.kind) {
    case 'unavailable':
      ctx.state.reason = resolution.reason;
      return answerUnavailable(ctx, config, resolution.message, unavailableRetrySeconds);
    case 'not found':
      return answerText(ctx, config, 404, notFoundMessage);
    case 'bad question':
      return answerText(ctx, config, resolution.refusal.status, resolution.refusal.message);
    case 'allowed':
      return answerAllowed(deps, ctx, resolution);
  }
}

async function answerAllowed(
  deps: AppDeps,
  ctx: ServeContext,
  { blob, live }: Extract<Resolution, { kind: 'allowed' }>,
): Promise<void> {
  if (blob !== null) {
    if (await respondWithBlob(deps, ctx, blob)) return;
    deps.manifests.forget(live.id);
  }
  await deps.traces.span('live copy', {}, () => respondWithLive(deps, ctx, live));
}

function createRouter(deps: ServeDeps): Router<RequestState> {
  const router = new Router<RequestState>();
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
