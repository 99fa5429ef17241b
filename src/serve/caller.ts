/**
 * Who asks: the part of a request's headers that CKAN would recognise a user by, and nothing else (promise P9).
 *
 * CKAN reads a token from `apitoken_header_name` and from `Authorization`, and a user from its session cookie. All other
 * cookies and headers stay here, so that what an analytics script sets never splits the cache of decisions.
 */
import { createHmac } from 'node:crypto';
import type { IncomingHttpHeaders } from 'node:http';
import type { CredentialHeaders } from '../ckan/client.ts';

export interface Caller {
  /** `anonymous`, or a keyed hash of the credentials: safe to use as a key, useless to anybody who reads it. */
  readonly key: string;
  readonly credentials: CredentialHeaders;
}

export interface CallerRules {
  /** Name of the header that carries a token, besides `Authorization`. */
  readonly tokenHeader: string;
  /** Names of the cookies by which CKAN knows a session. */
  readonly sessionCookies: readonly string[];
  readonly hashKey: string;
}

export const anonymous: Caller = { key: 'anonymous', credentials: {} };

export function callerFromHeaders(headers: IncomingHttpHeaders, rules: CallerRules): Caller {
  const tokenHeader = rules.tokenHeader.toLowerCase();
  if (!headers.authorization && !headers.cookie && !headers[tokenHeader]) return anonymous;
  const credentials: Record<string, string> = {};
  for (const name of new Set(['authorization', tokenHeader])) {
    const value = headers[name];
    if (typeof value === 'string' && value.trim() !== '') credentials[name] = value.trim();
  }
  const cookies = sessionCookiesOf(headers.cookie ?? '', rules.sessionCookies);
  if (cookies !== '') credentials['cookie'] = cookies;
  const parts = Object.entries(credentials).sort(([one], [other]) => (one < other ? -1 : 1));
  if (parts.length === 0) return anonymous;
  return {
    key: createHmac('sha256', rules.hashKey).update(JSON.stringify(parts)).digest('base64url'),
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
