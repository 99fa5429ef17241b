/** Answers the signed question of `doctor --front`: what of a request reached the service through the web server. */
import { Readable } from 'node:stream';
import { setTimeout as delay } from 'node:timers/promises';
import type { Context } from 'koa';
import { probeHeader, probeSeenHeader, slowMilliseconds, verifyFrontProbe } from '../front-probe.ts';
import { answerPlain } from './errors.ts';
import type { ServeDeps } from './context.ts';

/** False for every request that is no such question. */
export async function answerFrontProbe(
  { config, now }: Pick<ServeDeps, 'config' | 'now'>,
  ctx: Context,
): Promise<boolean> {
  const header = ctx.get(probeHeader);
  const probe = header === '' ? null : verifyFrontProbe(config, header, now());
  if (probe === null) return false;
  if (probe === 'fallback') {
    answerPlain(ctx, config, 503, 'CKAN is to answer this question of doctor');
    ctx.set('X-Dump-Fallback', 'yes');
    return true;
  }
  answerPlain(ctx, config, 200, 'The service answers this question of doctor');
  ctx.set(probeSeenHeader, seenOf(ctx));
  if (probe === 'slow') ctx.body = Readable.from(inTwoParts());
  return true;
}

/** The request as it came, in the spelling of a query string. */
function seenOf(ctx: Context): string {
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

async function* inTwoParts(): AsyncGenerator<string> {
  yield 'first\n';
  await delay(slowMilliseconds);
  yield 'last\n';
}
