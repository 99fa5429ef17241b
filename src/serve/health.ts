/**
 * `/healthz`: the process answers. `/readyz`: each dependency by name, checked with a deadline (P21, one part down).
 *
 * Readiness is 503 as soon as one dependency fails; `/readyz?needed` leaves out those without which dumps can still be
 * answered, so that an orchestrator does not take every replica away because the blob store is down. Results
 * are kept for a second, so that probes cannot load the dependencies.
 */
import { withTimeout } from '../async/timeout.ts';
import { errorMessage } from '../errors.ts';
import { redact } from '../log.ts';
import type { ReadinessCheck, ServeDeps } from './context.ts';
import type { ServeContext } from './request-state.ts';

interface CheckResult {
  readonly ok: boolean;
  readonly detail: string;
}

type CheckResults = Readonly<Record<string, CheckResult>>;

const deadlineMilliseconds = 2000;
const keptMilliseconds = 1000;

export function answerHealth(ctx: ServeContext): void {
  ctx.set('Cache-Control', 'no-store');
  ctx.body = { status: 'ok' };
}

interface Readiness {
  answer(ctx: ServeContext): Promise<void>;
  /** Check now, so that the gauges of dependencies are of this moment. */
  refresh(): Promise<CheckResults>;
}

type ReadinessDeps = Pick<ServeDeps, 'checks' | 'metrics'>;

export function createReadiness(deps: ReadinessDeps): Readiness {
  let kept: { readonly at: number; readonly results: Promise<CheckResults> } | null = null;
  const refresh = (): Promise<CheckResults> => {
    const now = performance.now();
    if (kept === null || now - kept.at > keptMilliseconds) kept = { at: now, results: runChecks(deps) };
    return kept.results;
  };
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
