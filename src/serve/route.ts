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
import type { Early } from './fast-redirect.ts';
import { readAsked, type Judge, type Verdict } from './resolve.ts';
import { answerLive, type LiveAsk } from './live-response.ts';
import { answerPlain, answerUnavailable, notFoundMessage, unavailableRetrySeconds } from './errors.ts';
import type { ServeWorld } from './context.ts';

export type AnswerDump = (ctx: Context, name: string, query: string) => Promise<void>;

/** What the hot path found out `early` is not found out again. */
export function createDumpRoute(
  world: ServeWorld,
  { judge, early }: { readonly judge: Judge; readonly early: WeakMap<IncomingMessage, Early> },
): AnswerDump {
  return async (ctx, name, query) => {
    const known = early.get(ctx.req);
    const asked = known?.asked ?? readAsked(world, ctx.headers, name, query);
    if (asked.question.kind === 'question') ctx.state['format'] = asked.question.format;
    const verdict = await world.traces.span('judge', {}, () => known?.verdict ?? judge(asked));
    return answer(world, ctx, verdict);
  };
}

async function answer(world: ServeWorld, ctx: Context, verdict: Verdict): Promise<void> {
  const { config } = world;
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
      if (blob !== null && (await giveBlob(world, ctx, blob, ask.id))) return undefined;
      return giveLive(world, ctx, ask);
    }
  }
}

/** False: the store does not have it, and nothing was answered yet. */
async function giveBlob(world: ServeWorld, ctx: Context, blob: FreshBlob, id: ResourceId): Promise<boolean> {
  const delivered = await deliverBlob(world, ctx, blob);
  if (delivered.kind === 'missing') {
    world.manifests.forget(id);
    return false;
  }
  if (delivered.kind === 'broken') ctx.state['broken'] = 'store';
  else ctx.state['bytes'] = delivered.bytes;
  return true;
}

async function giveLive(world: ServeWorld, ctx: Context, ask: LiveAsk): Promise<void> {
  const outcome = await world.traces.span('live copy', {}, () => answerLive(world, ctx, ask));
  if (outcome.kind === 'broken') {
    ctx.state['broken'] = outcome.cause;
    ctx.state['reason'] = outcome.reason;
  } else ctx.state['bytes'] = outcome.bytes;
}
