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
import { createHotPath, type Early } from './fast-redirect.ts';
import { createJudge } from './resolve.ts';
import { answerNotice } from './webhook.ts';
import { createObserver, requestIdOf, type Given, type Observer } from './request-log.ts';
import { answerStyle, answerTablePage, answerTablesPage } from './pages.ts';
import { answerError, answerPlain } from './errors.ts';
import { answerProblem } from './problem.ts';
import { protectOwnRoutes } from './security-headers.ts';
import { answerRebuildForm, readForm } from './rebuild-form.ts';
import { createDumpRoute, type AnswerDump } from './route.ts';
import { answerRebuild, answerStatus, answerStatusList } from './status.ts';
import { dumpNameOf, readTarget } from './dump-url.ts';
import { traceDump } from './trace.ts';
import type { ServeWorld } from './context.ts';

/** All that the service answers, as the listener of an HTTP server. */
export function createService(world: ServeWorld): RequestListener {
  const judge = createJudge(world);
  const observer = createObserver(world);
  const early = new WeakMap<IncomingMessage, Early>();
  const app = new Koa();
  // Faults of a connection; those of ours were logged and answered below.
  app.on('error', (error: unknown) => world.log.debug({ err: error }, 'connection fault'));
  if (world.traces !== noTraces) app.use((ctx, next) => traceDump(world, ctx, next));
  app.use((ctx, next) => {
    const startedAt = early.get(ctx.req)?.startedAt ?? performance.now();
    return observe(world, observer, { ctx, next, startedAt });
  });
  const answerDump = createDumpRoute(world, { judge, early });
  app.use((ctx, next) => dumps(world, answerDump, ctx, next));
  app.use(protectOwnRoutes);
  const router = createRouter(world);
  app.use(router.routes());
  app.use(router.allowedMethods());
  app.use((ctx) => answerProblem(ctx, 404, 'There is nothing at this address'));
  return createHotPath(world, { judge, observer, early, koa: app.callback() });
}

async function observe(
  world: ServeWorld,
  observer: Observer,
  { ctx, next, startedAt }: { readonly ctx: Context; readonly next: Next; readonly startedAt: number },
): Promise<void> {
  const id = requestIdOf(ctx.get('X-Request-ID'));
  ctx.set('X-Request-ID', id);
  ctx.set('X-Content-Type-Options', 'nosniff');
  setCrossOrigin(ctx, world.config);
  let fault: unknown;
  try {
    await next();
  } catch (error) {
    if (giveUp(world, ctx, error) === 'unexpected') fault = error;
  }
  const given = givenBy(ctx, id, (performance.now() - startedAt) / 1000);
  if (ctx.state['route'] === 'dump') observer.count(given);
  observer.log(given, fault);
}

function givenBy(ctx: Context, request: string, seconds: number): Given {
  const { format, bytes, broken, reason } = ctx.state as Partial<Given>;
  const path = redact(readTarget(ctx.req.url ?? '').path).slice(0, 300);
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
function giveUp(world: ServeWorld, ctx: Context, error: unknown): 'expected' | 'unexpected' {
  if (ctx.res.headersSent) {
    ctx.respond = false;
    resetSocket(ctx.req);
    return 'unexpected';
  }
  ctx.respond = true;
  if (ctx.state['route'] === 'dump') return answerError(ctx, world.config, error);
  const verdict = answerError(ctx, world.config, error);
  answerProblem(ctx, ctx.status, String(ctx.body).trim());
  return verdict;
}

const dumpMethods = 'OPTIONS, GET, HEAD';

/** The two routes whose paths are read as they stand in the request line. */
async function dumps(world: ServeWorld, answerDump: AnswerDump, ctx: Context, next: Next): Promise<void> {
  const url = ctx.req.url ?? '/';
  const { path, query } = readTarget(url);
  if (path.startsWith(blobsRoute)) return answerBlobPath(world, ctx, path, url);
  const name = dumpNameOf(path, world.config.CKAN__LOCALE_DEFAULT);
  if (name === null) {
    if (path.includes('/datastore/'))
      return answerPlain(ctx, world.config, 404, 'There is nothing at this address');
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
    return answerPlain(ctx, world.config, 405, 'The method is not allowed for the requested URL.');
  }
  return answerDump(ctx, name, query);
}

function createRouter(world: ServeWorld): Router {
  const router = new Router();
  const readiness = createReadiness(world);
  const idOf = (ctx: { params: Record<string, string> }): string => ctx.params['id'] ?? '';
  router.get('/healthz', (ctx) => answerHealth(ctx));
  router.get('/readyz', (ctx) => readiness.answer(ctx));
  router.get('/metrics', async (ctx) => {
    await readiness.refresh();
    ctx.set('Content-Type', world.metrics.registry.contentType);
    ctx.body = await world.metrics.registry.metrics();
  });
  router.get('/openapi.yaml', (ctx) => {
    if (world.openapi === null) return answerProblem(ctx, 404, 'There is nothing at this address');
    ctx.type = 'application/yaml';
    ctx.body = world.openapi;
  });
  router.post('/notices', (ctx) => answerNotice(world, ctx));
  router.get('/status', (ctx) => answerStatusList(world, ctx));
  router.get('/status/:id', (ctx) => answerStatus(world, ctx, idOf(ctx)));
  router.post('/status/:id/rebuild', (ctx) => answerRebuild(world, ctx, idOf(ctx)));
  router.get('/', (ctx) => answerTablesPage(world, ctx));
  router.get('/page.css', (ctx) => answerStyle(ctx));
  router.get('/tables/:id', (ctx) => answerTablePage(world, ctx, idOf(ctx)));
  router.post('/tables/:id/rebuild', readForm, (ctx) => answerRebuildForm(world, ctx, idOf(ctx)));
  return router;
}
