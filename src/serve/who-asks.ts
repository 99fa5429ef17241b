/** The caller of a request, by the settings of this service; and whether it holds the admin token. */
import { createHash, timingSafeEqual } from 'node:crypto';
import type { IncomingHttpHeaders } from 'node:http';
import type { Context } from 'koa';
import { callerFromHeaders, type Caller } from './caller.ts';
import type { ServeDeps } from './context.ts';

export function callerFrom({ config }: Pick<ServeDeps, 'config'>, headers: IncomingHttpHeaders): Caller {
  return callerFromHeaders(headers, {
    tokenHeader: config.CKAN__APITOKEN_HEADER_NAME,
    sessionCookies: config.DUMPER_SESSION_COOKIES,
    // The same on every replica, so that they can share decisions.
    hashKey: config.CKAN_DATASTORE_READ_URL ?? '',
  });
}

/** `Authorization: Bearer <DUMPER_ADMIN_TOKEN>`. */
export function isAdmin({ config }: Pick<ServeDeps, 'config'>, ctx: Context): boolean {
  const [, given] = /^Bearer\s+(\S+)\s*$/i.exec(ctx.get('Authorization')) ?? [];
  return isAdminToken(config.DUMPER_ADMIN_TOKEN, given);
}

/** Compared in constant time; false where either is not there. */
export function isAdminToken(token: string | undefined, given: string | undefined): boolean {
  if (token === undefined || given === undefined) return false;
  const digest = (text: string): Buffer => createHash('sha256').update(text).digest();
  return timingSafeEqual(digest(given), digest(token));
}
