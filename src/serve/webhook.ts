/**
 * `POST /notices`: somebody says that a table changed. Read here with a limit and a deadline, judged by `change`, whose
 * function comes in as an argument (promise P15).
 */
import type { IncomingMessage } from 'node:http';
import type { Context } from 'koa';
import type { ServeDeps } from './context.ts';
import { answerProblem } from './errors.ts';

const bodyLimitBytes = 1024 * 1024;
const deadlineMilliseconds = 10_000;

export async function answerWebhook(deps: ServeDeps, ctx: Context): Promise<void> {
  if (deps.receiveWebhook === null) return answerProblem(ctx, 404, 'Notices are not accepted here');
  const body = await readBody(ctx.req);
  if (body.kind === 'too large') {
    deps.metrics.notices.inc({ outcome: 'too_large' });
    ctx.set('Connection', 'close');
    return answerProblem(ctx, 413, `A notice has at most ${bodyLimitBytes} bytes`);
  }
  if (body.kind === 'too slow') {
    ctx.set('Connection', 'close');
    return answerProblem(ctx, 408, 'The notice did not arrive in time');
  }
  const verdict = await deps.receiveWebhook(ctx.headers, body.bytes);
  if (verdict.kind === 'refused') {
    deps.metrics.notices.inc({ outcome: verdict.status === 401 ? 'refused' : 'invalid' });
    return answerProblem(ctx, verdict.status, verdict.reason);
  }
  deps.metrics.notices.inc({ outcome: 'queued' });
  ctx.status = 202;
  ctx.body = { queued: verdict.tables };
}

type ReadBody =
  | { readonly kind: 'body'; readonly bytes: Buffer }
  | { readonly kind: 'too large' }
  | { readonly kind: 'too slow' };

async function readBody(request: IncomingMessage): Promise<ReadBody> {
  if (Number(request.headers['content-length'] ?? 0) > bodyLimitBytes) return { kind: 'too large' };
  const slow = AbortSignal.timeout(deadlineMilliseconds);
  const chunks: Buffer[] = [];
  let bytes = 0;
  const { promise, resolve, reject } = Promise.withResolvers<ReadBody>();
  const onData = (chunk: Buffer): void => {
    bytes += chunk.length;
    if (bytes > bodyLimitBytes) resolve({ kind: 'too large' });
    else chunks.push(chunk);
  };
  const onEnd = (): void => resolve({ kind: 'body', bytes: Buffer.concat(chunks) });
  const onSlow = (): void => resolve({ kind: 'too slow' });
  request.on('data', onData).once('end', onEnd).once('error', reject);
  slow.addEventListener('abort', onSlow, { once: true });
  return promise.finally(() => {
    slow.removeEventListener('abort', onSlow);
    request.removeListener('data', onData).removeListener('end', onEnd).removeListener('error', reject);
  });
}
