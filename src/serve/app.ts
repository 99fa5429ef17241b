/**
 * The service's routes, and what surrounds each answer: a request id, cross-origin headers, one log line, the metrics,
 * and an end for errors that nobody expected. The dump route itself is `route.ts`.
 */
import { randomUUID } from 'node:crypto';
import { Router } from '@koa/router';
import Koa, { type Context, type Next } from 'koa';
import { redact, withoutRedaction } from '../log.ts';
import { blobsRoute } from '../signed-path.ts';
import { noTraces } from '../traces.ts';
import { answerBlobPath } from './blobs.ts';
import { setCrossOrigin } from './cors.ts';
import { resetSocket } from './departure.ts';
import { answerHealth, createReadiness } from './health.ts';
import { answerNotice } from './notices.ts';
import { answerStyle, answerTablePage, answerTablesPage } from './pages.ts';
import { answerError, answerPlain } from './plain.ts';
import { answerProblem } from './problem.ts';
import { protectOwnRoutes } from './protection.ts';
import { answerRebuildForm, readForm } from './rebuild-form.ts';
import { createDumpRoute, type AnswerDump } from './route.ts';
import { answerRebuild, answerStatus, answerStatusList } from './status.ts';
import { dumpNameOf, readTarget } from './target.ts';
import { traceDump } from './trace.ts';
import type { ServeWorld } from './world.ts';

export function createApp(world: ServeWorld): Koa {
  const app = new Koa();
  // Faults of a connection; those of ours were logged and answered below.
  app.on('error', (error: unknown) => world.log.debug({ err: error }, 'connection fault'));
  if (world.traces !== noTraces) app.use((ctx, next) => traceDump(world, ctx, next));
  const observed = { ...world, log: withoutRedaction(world.log) };
  app.use((ctx, next) => observe(observed, ctx, next));
  const answerDump = createDumpRoute(world);
  app.use((ctx, next) => dumps(world, answerDump, ctx, next));
  app.use(protectOwnRoutes);
  const router = createRouter(world);
  app.use(router.routes());
  app.use(router.allowedMethods());
  app.use((ctx) => answerProblem(ctx, 404, 'There is nothing at this address'));
  return app;
}

const sanePattern = /^[\w.:/+=-]{1,128}$/;

async function observe(world: ServeWorld, ctx: Context, next: Next): Promise<void> {
  const started = performance.now();
  const given = ctx.get('X-Request-ID');
  const id = sanePattern.test(given) ? given : randomUUID();
  ctx.set('X-Request-ID', id);
  ctx.set('X-Content-Type-Options', 'nosniff');
  setCrossOrigin(ctx, world.config);
  let fault: unknown;
  try {
    await next();
  } catch (error) {
    if (giveUp(world, ctx, error) === 'unexpected') fault = error;
  }
  const seconds = (performance.now() - started) / 1000;
  if (ctx.state['route'] === 'dump') count(world, ctx, seconds);
  if (fault !== undefined) world.log.error({ ...lineOf(ctx, id, seconds), err: fault }, 'request failed');
  else if (world.log.isLevelEnabled('info')) world.log.info(lineOf(ctx, id, seconds), 'request');
}

function lineOf(ctx: Context, id: string, seconds: number): Readonly<Record<string, unknown>> {
  return {
    request: id,
    method: ctx.method,
    path: redact(readTarget(ctx.req.url ?? '').path).slice(0, 300),
    status: ctx.status,
    source: ctx.response.get('X-Dump-Source') || undefined,
    bytes: ctx.state['bytes'] as number | undefined,
    milliseconds: Math.round(seconds * 1000),
    broken: ctx.state['broken'] as string | undefined,
    reason: ctx.state['reason'] as string | undefined,
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

function count({ metrics }: ServeWorld, ctx: Context, seconds: number): void {
  const source = ctx.response.get('X-Dump-Source') || 'none';
  const format = String(ctx.state['format'] ?? 'none');
  metrics.answers.inc({ source, status: String(ctx.status), format });
  metrics.answerSeconds.observe({ source }, seconds);
  if (typeof ctx.state['bytes'] === 'number') metrics.answerBytes.inc({ source }, ctx.state['bytes']);
  if (typeof ctx.state['broken'] === 'string') metrics.brokenAnswers.inc({ cause: ctx.state['broken'] });
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
