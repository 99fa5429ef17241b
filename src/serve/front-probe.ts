/** Answers the signed question of `doctor --front`: what of a request reached the service through the web server. */
import { randomBytes } from 'node:crypto';
import { Readable } from 'node:stream';
import { probeHeader, probeSeenHeader, longBytes, verifyFrontProbe } from '../front-probe.ts';
import { answerText } from './errors.ts';
import type { ServeDeps } from './context.ts';
import type { ServeContext } from './request-state.ts';

const partBytes = 64 * 1024;

/** False for every request that is no such question. */
export function answerFrontProbe(
  { config, now }: Pick<ServeDeps, 'config' | 'now'>,
  ctx: ServeContext,
): boolean {
  const header = ctx.get(probeHeader);
  const probe = header === '' ? null : verifyFrontProbe(config, header, now());
  if (probe === null) return false;
  if (probe === 'fallback') {
    answerText(ctx, config, 503, 'CKAN is to answer this question of doctor');
    ctx.set('X-Dump-Fallback', 'yes');
    return true;
  }
  answerText(ctx, config, 200, 'The service answers this question of doctor');
  ctx.set(probeSeenHeader, seenOf(ctx));
  if (probe === 'long') {
    ctx.type = 'application/octet-stream';
    ctx.body = Readable.from(longAnswer());
  }
  return true;
}

/** The request as it came, in the spelling of a query string. */
function seenOf(ctx: ServeContext): string {
  const cookies = ctx.get('Cookie').split(/;\s*/);
  return new URLSearchParams({
    http: ctx.req.httpVersion,
    method: ctx.method,
    target: (ctx.req.url ?? '').slice(0, 1000),
    host: ctx.get('Host'),
    cookies: cookies.map((cookie) => cookie.split('=')[0]).join(','),
    authorization: ctx.get('Authorization') === '' ? 'no' : 'yes',
  }).toString();
}

/** A part is asked for when the one before it has left the process. */
async function* longAnswer(): AsyncGenerator<Uint8Array> {
  const startedAt = performance.now();
  const part = randomBytes(partBytes);
  for (let sent = 0; sent < longBytes; sent += partBytes) yield part;
  yield Buffer.from(String(Math.round(performance.now() - startedAt)));
}
