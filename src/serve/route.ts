/**
 * A dump is asked for, and what `judge.ts` says becomes the answer.
 *
 * | verdict | answer |
 * |---|---|
 * | unavailable | 503 |
 * | bad question | 400 |
 * | not found | 404, the same words for what is not there and what the caller may not see |
 * | allowed, with a blob | the blob: 302, 200, 206, 304 or 416 (`deliver.ts`) |
 * | allowed | live, 200; 400 for what Postgres refuses; 503 without a slot (`live.ts`) |
 */
import type { IncomingMessage } from 'node:http';
import type { Context } from 'koa';
import type { ResourceId } from '../postgres/table.ts';
import { deliverBlob, type FreshBlob } from './blob-response.ts';
import type { PreResolved } from './fast-redirect.ts';
import { readDumpRequest, type ResolveDump, type Resolution } from './resolve.ts';
import { answerLive, type LiveRequest } from './live-response.ts';
import { answerPlain, answerUnavailable, notFoundMessage, unavailableRetrySeconds } from './errors.ts';
import type { ServeDeps } from './context.ts';

export type AnswerDump = (ctx: Context, name: string, query: string) => Promise<void>;

/** What the hot path found out `early` is not found out again. */
export function createDumpRoute(
  deps: ServeDeps,
  { judge, early }: { readonly judge: ResolveDump; readonly early: WeakMap<IncomingMessage, PreResolved> },
): AnswerDump {
  return async (ctx, name, query) => {
    const known = early.get(ctx.req);
    const asked = known?.asked ?? readDumpRequest(deps, ctx.headers, name, query);
    if (asked.question.kind === 'question') ctx.state['format'] = asked.question.format;
    const verdict = await deps.traces.span('judge', {}, () => known?.verdict ?? judge(asked));
    return answer(deps, ctx, verdict);
  };
}

async function answer(deps: ServeDeps, ctx: Context, verdict: Resolution): Promise<void> {
  const { config } = deps;
  switch (verdict.kind) {
    case 'unavailable':
      ctx.state['reason'] = verdict.reason;
      return answerUnavailable(ctx, config, verdict.message, unavailableRetrySeconds);
    case 'not found':
      return answerPlain(ctx, config, 404, notFoundMessage);
    case 'bad question':
      return answerPlain(ctx, config, verdict.refusal.status, verdict.refusal.message);
    case 'allowed': {
      const { ask, blob } = verdict;
      if (blob !== null && (await giveBlob(deps, ctx, blob, ask.id))) return undefined;
      return giveLive(deps, ctx, ask);
    }
  }
}

/** False: the store does not have it, and nothing was answered yet. */
async function giveBlob(deps: ServeDeps, ctx: Context, blob: FreshBlob, id: ResourceId): Promise<boolean> {
  const delivered = await deliverBlob(deps, ctx, blob);
  if (delivered.kind === 'missing') {
    deps.manifests.forget(id);
    return false;
  }
  if (delivered.kind === 'broken') ctx.state['broken'] = 'store';
  else ctx.state['bytes'] = delivered.bytes;
  return true;
}

async function giveLive(deps: ServeDeps, ctx: Context, ask: LiveRequest): Promise<void> {
  const outcome = await deps.traces.span('live copy', {}, () => answerLive(deps, ctx, ask));
  if (outcome.kind === 'broken') {
    ctx.state['broken'] = outcome.cause;
    ctx.state['reason'] = outcome.reason;
  } else ctx.state['bytes'] = outcome.bytes;
}
