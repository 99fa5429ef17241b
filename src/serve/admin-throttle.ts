/**
 * Wrong admin tokens are few: after some in one minute, a client that asks for an admin's act has to wait, with the right
 * token or not, so that nobody learns by trying which one it is (P9). Each client has a count of its own: nobody can lock
 * the admin out. Whoever only reads is not concerned: the bearer token may be one of CKAN's.
 */
import type { BlockList } from 'node:net';
import type { Next } from 'koa';
import { createLruCache } from '../lru.ts';
import { bearerToken, isAdminToken } from './caller.ts';
import { clientAddress, clientNetwork } from './client-address.ts';
import type { ServeDeps } from './context.ts';
import { answerProblem } from './errors.ts';
import type { ServeContext } from './request-state.ts';

/** A minute is a fixed one: at its end all counts are zero. */
const minuteMilliseconds = 60_000;
export const wrongTokensOfClient = 10;
const clientsKept = 10_000;

interface AdminThrottle {
  /** Around what only the admin's bearer token may ask for. */
  forBearer(ctx: ServeContext, next: Next): Promise<void>;
  /** Around a form with this token in it. */
  around(ctx: ServeContext, token: string | undefined, next: () => Promise<void>): Promise<void>;
}

export function createAdminThrottle({ config, now }: Pick<ServeDeps, 'config' | 'now'>): AdminThrottle {
  let byClient = createLruCache<number>(clientsKept);
  let endsAt = 0;
  const newMinute = (): void => {
    const time = now().getTime();
    if (time < endsAt) return;
    byClient = createLruCache<number>(clientsKept);
    endsAt = time + minuteMilliseconds;
  };
  const around: AdminThrottle['around'] = async (ctx, token, next) => {
    if (token === undefined || config.DUMPER_ADMIN_TOKEN === undefined) return next();
    newMinute();
    const client = clientOf(ctx, config.DUMPER_TRUSTED_PROXIES);
    const ofClient = byClient.get(client) ?? 0;
    if (ofClient >= wrongTokensOfClient) {
      const seconds = Math.max(1, Math.ceil((endsAt - now().getTime()) / 1000));
      ctx.set('Retry-After', String(seconds));
      return answerProblem(ctx, 429, 'Too many wrong tokens; try again in a minute');
    }
    if (!isAdminToken(config, token)) byClient.set(client, ofClient + 1);
    return next();
  };
  return { around, forBearer: (ctx, next) => around(ctx, bearerToken(ctx.headers), next) };
}

/** One client of IPv6 has as many addresses as it likes. */
function clientOf(ctx: ServeContext, trusted: BlockList): string {
  return clientNetwork(clientAddress(ctx.req, trusted) ?? ctx.req.socket.remoteAddress ?? '');
}
