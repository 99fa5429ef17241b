/**
 * `/healthz`: the process answers. `/readyz`: each dependency by name, checked with a deadline (P21, one part down).
 *
 * Readiness is 503 as soon as one dependency fails; `/readyz?needed` leaves out those without which dumps can still be
 * answered, so that an orchestrator does not take every replica away because the blob store is down. Results
 * are kept for a second, so that probes cannot load the dependencies.
 */
import type { IncomingMessage, OutgoingHttpHeaders, ServerResponse } from 'node:http';
import { withTimeout } from '../async/timeout.ts';
import { errorMessage } from '../errors.ts';
import { redact } from '../log.ts';
import type { ReadinessCheck, ServeDeps } from './context.ts';
import { requestIdOf, type RequestLog } from './request-log.ts';
import { healthPath, type ServeContext } from './request-state.ts';

interface CheckResult {
  readonly ok: boolean;
  readonly detail: string;
}

type CheckResults = Readonly<Record<string, CheckResult>>;

const deadlineMilliseconds = 2000;
const keptMilliseconds = 1000;

const healthBody = { status: 'ok' };

export function answerHealth(ctx: ServeContext): void {
  ctx.set('Cache-Control', 'no-store');
  ctx.body = healthBody;
}

/**
 * `GET /healthz` without Koa, for fronts that ask it before each dump. Koa answers the first one, whose headers are kept
 * for the others. False: the request is none for this path, and nothing was done.
 */
export function createFastHealth({ requestLog }: { readonly requestLog: RequestLog }): FastHealth {
  const text = JSON.stringify(healthBody);
  let kept: OutgoingHttpHeaders | null = null;
  return (request, response) => {
    const { method, url, headers } = request;
    if (url !== healthPath || method !== 'GET' || headers.origin !== undefined) return false;
    if (kept === null) {
      response.once('finish', () => {
        const { 'x-request-id': _, ...others } = response.getHeaders();
        if (response.statusCode === 200) kept = others;
      });
      return false;
    }
    const startedAt = performance.now();
    const id = requestIdOf(headers['x-request-id']);
    response.writeHead(200, { ...kept, 'x-request-id': id }).end(text);
    const seconds = (performance.now() - startedAt) / 1000;
    requestLog.log({
      request: id,
      address: undefined,
      method,
      path: healthPath,
      status: 200,
      source: undefined,
      seconds,
    });
    return true;
  };
}

type FastHealth = (request: IncomingMessage, response: ServerResponse) => boolean;

/** The text of `/metrics`, made once for all who ask within a second. */
export function createMetricsText(
  metrics: ServeDeps['metrics'],
  readiness: Readiness,
): () => Promise<string> {
  return keepAMoment(async () => {
    await readiness.refresh();
    return metrics.registry.metrics();
  });
}

/** Made once for all who ask until `keptMilliseconds` after it was there. */
function keepAMoment<Made>(make: () => Promise<Made>): () => Promise<Made> {
  let kept: { endsAt: number; readonly made: Promise<Made> } | null = null;
  return () => {
    if (kept === null || performance.now() > kept.endsAt) {
      const next = { endsAt: Infinity, made: make() };
      const settled = (): void => {
        next.endsAt = performance.now() + keptMilliseconds;
      };
      next.made.then(settled, settled);
      kept = next;
    }
    return kept.made;
  };
}

interface Readiness {
  answer(ctx: ServeContext): Promise<void>;
  /** Check now, so that the gauges of dependencies are of this moment. */
  refresh(): Promise<CheckResults>;
}

type ReadinessDeps = Pick<ServeDeps, 'checks' | 'metrics'>;

export function createReadiness(deps: ReadinessDeps): Readiness {
  const refresh = keepAMoment(() => runChecks(deps));
  const answer = async (ctx: ServeContext): Promise<void> => {
    const results = await refresh();
    const counted =
      ctx.query['needed'] === undefined ? deps.checks : deps.checks.filter((check) => check.needed);
    const ready = counted.every(({ name }) => results[name]?.ok === true);
    ctx.status = ready ? 200 : 503;
    ctx.set('Cache-Control', 'no-store');
    ctx.body = { status: ready ? 'ready' : 'not ready', dependencies: results };
  };
  return { answer, refresh };
}

async function runChecks({ checks, metrics }: ReadinessDeps): Promise<CheckResults> {
  const results = await Promise.all(
    checks.map(async (check) => [check.name, await runCheck(check)] as const),
  );
  for (const [name, { ok }] of results) metrics.ready.set({ dependency: name }, ok ? 1 : 0);
  return Object.fromEntries(results);
}

async function runCheck({ check }: ReadinessCheck): Promise<CheckResult> {
  const deadline = new AbortController();
  try {
    const detail = await withTimeout(check(deadline.signal), {
      milliseconds: deadlineMilliseconds,
      onTimeout: () => new Error('no answer in time'),
    });
    return { ok: true, detail };
  } catch (error) {
    deadline.abort();
    return { ok: false, detail: redact(errorMessage(error)) };
  }
}
