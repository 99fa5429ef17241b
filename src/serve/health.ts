/**
 * `/healthz`: the process answers. `/readyz`: each dependency by name, asked with a deadline (promise P21).
 *
 * Readiness is 503 as soon as one dependency fails; `/readyz?needed` leaves out those without which dumps can still be
 * answered, so that an orchestrator does not take every replica away because the blob store is down. What was found is
 * kept for a second, so that probes cannot load the dependencies.
 */
import type { Context } from 'koa';
import { errorMessage } from '../errors.ts';
import { redact } from '../log.ts';
import type { ReadinessCheck, ServeDeps } from './context.ts';

interface Finding {
  readonly ok: boolean;
  readonly detail: string;
}

type Findings = Readonly<Record<string, Finding>>;

const deadlineMilliseconds = 2000;
const keptMilliseconds = 1000;

export function answerHealth(ctx: Context): void {
  ctx.set('Cache-Control', 'no-store');
  ctx.body = { status: 'ok' };
}

export interface Readiness {
  answer(ctx: Context): Promise<void>;
  /** Ask now, so that the gauges of dependencies are of this moment. */
  refresh(): Promise<Findings>;
}

export function createReadiness(deps: ServeDeps): Readiness {
  let kept: { readonly at: number; readonly findings: Promise<Findings> } | null = null;
  const refresh = (): Promise<Findings> => {
    const now = performance.now();
    if (kept === null || now - kept.at > keptMilliseconds) kept = { at: now, findings: look(deps) };
    return kept.findings;
  };
  const answer = async (ctx: Context): Promise<void> => {
    const findings = await refresh();
    const counted =
      ctx.query['needed'] === undefined ? deps.checks : deps.checks.filter((check) => check.needed);
    const ready = counted.every(({ name }) => findings[name]?.ok === true);
    ctx.status = ready ? 200 : 503;
    ctx.set('Cache-Control', 'no-store');
    ctx.body = { status: ready ? 'ready' : 'not ready', dependencies: findings };
  };
  return { answer, refresh };
}

async function look(deps: ServeDeps): Promise<Findings> {
  const findings = await Promise.all(
    deps.checks.map(async (check) => [check.name, await examine(check)] as const),
  );
  for (const [name, { ok }] of findings) deps.metrics.ready.set({ dependency: name }, ok ? 1 : 0);
  return Object.fromEntries(findings);
}

async function examine({ check }: ReadinessCheck): Promise<Finding> {
  const signal = AbortSignal.timeout(deadlineMilliseconds);
  const late = Promise.withResolvers<never>();
  const onLate = (): void => late.reject(new Error('no answer in time'));
  signal.addEventListener('abort', onLate, { once: true });
  try {
    return { ok: true, detail: await Promise.race([check(signal), late.promise]) };
  } catch (error) {
    return { ok: false, detail: redact(errorMessage(error)) };
  } finally {
    signal.removeEventListener('abort', onLate);
  }
}
