/**
 * `POST /notices`, the change webhook: somebody says that a table changed. The body is read here with a limit and a
 * deadline; the change act verifies it and queues the tables (P15: a forged, stale, replayed or oversized notice
 * changes nothing).
 */
import type { IncomingMessage } from 'node:http';
import { DumperError } from '../errors.ts';
import type { Metrics } from '../metrics.ts';
import { answerProblem } from './errors.ts';
import type { ServeContext } from './request-state.ts';

/** Longest body of a notice. */
const webhookMaxBytes = 256 * 1024;
const deadlineMilliseconds = 10_000;

/** The part of the change act that this route calls. */
export interface WebhookReceiver {
  receiveWebhook(request: {
    /** `X-Dumper-Timestamp` and `X-Dumper-Signature`, as they came. */
    readonly timestamp: string | readonly string[] | undefined;
    readonly signature: string | readonly string[] | undefined;
    /** The raw bytes of the body. */
    readonly body: Uint8Array;
  }): Promise<
    | { readonly kind: 'accepted'; readonly names: readonly string[] }
    | { readonly kind: 'replayed' }
    | { readonly kind: 'refused'; readonly status: 400 | 401 | 413; readonly reason: string }
  >;
}

export interface WebhookDeps {
  /** Null where notices are not accepted: the route is then not there. `change` is null while the queue is away. */
  readonly webhook: { readonly change: WebhookReceiver | null } | null;
  readonly metrics: Pick<Metrics, 'notices'>;
}

export async function answerWebhook({ webhook, metrics }: WebhookDeps, ctx: ServeContext): Promise<void> {
  if (webhook === null) return answerProblem(ctx, 404, 'Notices are not accepted here');
  const body = await readBody(ctx.req);
  if (body.kind === 'too large') {
    metrics.notices.inc({ outcome: 'too_large' });
    ctx.set('Connection', 'close');
    return answerProblem(ctx, 413, `A notice has at most ${webhookMaxBytes} bytes`);
  }
  if (body.kind === 'too slow') {
    ctx.set('Connection', 'close');
    return answerProblem(ctx, 408, 'The notice did not arrive in time');
  }
  if (webhook.change === null) throw new DumperError('STATE_UNAVAILABLE', 'the queue cannot be reached yet');
  const result = await webhook.change.receiveWebhook({
    timestamp: ctx.headers['x-dumper-timestamp'],
    signature: ctx.headers['x-dumper-signature'],
    body: body.bytes,
  });
  if (result.kind === 'refused') {
    metrics.notices.inc({ outcome: outcomeOf[result.status] });
    return answerProblem(ctx, result.status, result.reason);
  }
  metrics.notices.inc({ outcome: 'queued' });
  ctx.status = 202;
  ctx.body = { queued: result.kind === 'accepted' ? result.names.length : 0 };
}

const outcomeOf = { 400: 'invalid', 401: 'refused', 413: 'too_large' } as const;

type ReadBody =
  | { readonly kind: 'body'; readonly bytes: Buffer }
  | { readonly kind: 'too large' }
  | { readonly kind: 'too slow' };

async function readBody(request: IncomingMessage): Promise<ReadBody> {
  if (Number(request.headers['content-length'] ?? 0) > webhookMaxBytes) return { kind: 'too large' };
  const slow = AbortSignal.timeout(deadlineMilliseconds);
  const chunks: Buffer[] = [];
  let bytes = 0;
  const { promise, resolve, reject } = Promise.withResolvers<ReadBody>();
  const onData = (chunk: Buffer): void => {
    bytes += chunk.length;
    if (bytes > webhookMaxBytes) resolve({ kind: 'too large' });
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
