/**
 * The caller of a request: the part of its headers that CKAN would recognise a user by, and nothing else (P9, nothing
 * that CKAN would refuse).
 *
 * CKAN reads a token from `apitoken_header_name` and from `Authorization`, and a user from its session cookie. All other
 * cookies and headers stay here, so that what an analytics script sets never splits the cache of decisions.
 */
import { createHash, createHmac, timingSafeEqual } from 'node:crypto';
import type { IncomingHttpHeaders } from 'node:http';
import type { CredentialHeaders } from '../ckan/client.ts';
import type { Config } from '../config/config.ts';

export interface Caller {
  /** `anonymous`, or a keyed hash of the credentials: safe to use as a key, useless to anybody who reads it. */
  readonly key: string;
  readonly credentials: CredentialHeaders;
}

export const anonymous: Caller = { key: 'anonymous', credentials: {} };

export function callerFrom(config: Config, headers: IncomingHttpHeaders): Caller {
  const tokenHeader = config.CKAN__APITOKEN_HEADER_NAME.toLowerCase();
  if (!headers.authorization && !headers.cookie && !headers[tokenHeader]) return anonymous;
  const credentials: Record<string, string> = {};
  for (const name of new Set(['authorization', tokenHeader])) {
    const value = headers[name];
    if (typeof value === 'string' && value.trim() !== '') credentials[name] = value.trim();
  }
  const cookies = sessionCookiesOf(headers.cookie ?? '', config.DUMPER_SESSION_COOKIES);
  if (cookies !== '') credentials['cookie'] = cookies;
  const parts = Object.entries(credentials).sort(([one], [other]) => (one < other ? -1 : 1));
  if (parts.length === 0) return anonymous;
  // The same on every replica, so that they can share decisions.
  const hashKey = config.CKAN_DATASTORE_READ_URL ?? '';
  return {
    key: createHmac('sha256', hashKey).update(JSON.stringify(parts)).digest('base64url'),
    credentials,
  };
}

function sessionCookiesOf(header: string, names: readonly string[]): string {
  return header
    .split(';')
    .map((pair) => pair.trim())
    .filter((pair) => names.includes(pair.split('=', 1)[0]?.trim() ?? ''))
    .join('; ');
}

/** Whether the request says `Authorization: Bearer <DUMPER_ADMIN_TOKEN>`. */
export function isAdmin(config: Config, headers: IncomingHttpHeaders): boolean {
  const [, token] = /^Bearer\s+(\S+)\s*$/i.exec(headers.authorization ?? '') ?? [];
  return isAdminToken(config, token);
}

/** Compared in constant time; false where none is given or none is set. */
export function isAdminToken({ DUMPER_ADMIN_TOKEN: adminToken }: Config, token: string | undefined): boolean {
  if (adminToken === undefined || token === undefined) return false;
  const digest = (text: string): Buffer => createHash('sha256').update(text).digest();
  return timingSafeEqual(digest(token), digest(adminToken));
}
