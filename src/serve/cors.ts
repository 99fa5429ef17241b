/**
 * Cross-origin answers as CKAN's settings have them: only to requests that name an origin, for everyone with
 * `ckan.cors.origin_allow_all`, else for the origins of `ckan.cors.origin_whitelist` (CKAN 2.11 and 2.12,
 * `set_cors_headers_for_response`).
 */
import type { Context } from 'koa';
import type { Config } from '../config.ts';

export function setCrossOrigin(ctx: Context, config: Config): void {
  const whitelist = config.CKAN__CORS__ORIGIN_WHITELIST ?? [];
  const everyone = config.CKAN__CORS__ORIGIN_ALLOW_ALL;
  if (everyone || whitelist.length > 0) ctx.vary('Origin');
  const origin = ctx.get('Origin');
  if (origin === '' || !(everyone || whitelist.includes(origin))) return;
  ctx.set('Access-Control-Allow-Origin', everyone ? '*' : origin);
  ctx.set('Access-Control-Allow-Methods', 'POST, PUT, GET, DELETE, OPTIONS');
  ctx.set('Access-Control-Allow-Headers', `${config.CKAN__APITOKEN_HEADER_NAME}, Content-Type`);
}
