/**
 * Cross-origin headers by CKAN's settings: only for requests that name an origin, for everyone with
 * `ckan.cors.origin_allow_all`, else for the origins of `ckan.cors.origin_whitelist` (CKAN 2.11 and 2.12,
 * `set_cors_headers_for_response`).
 */
import type { Config } from '../config/config.ts';
import type { ServeContext } from './request-state.ts';

export function setCrossOrigin(ctx: ServeContext, config: Config): void {
  if (variesByOrigin(config)) ctx.vary('Origin');
  const everyone = config.CKAN__CORS__ORIGIN_ALLOW_ALL;
  const origin = ctx.get('Origin');
  if (origin === '' || !(everyone || config.CKAN__CORS__ORIGIN_WHITELIST?.includes(origin))) return;
  ctx.set('Access-Control-Allow-Origin', everyone ? '*' : origin);
  ctx.set('Access-Control-Allow-Methods', 'POST, PUT, GET, DELETE, OPTIONS');
  ctx.set('Access-Control-Allow-Headers', `${config.CKAN__APITOKEN_HEADER_NAME}, Content-Type`);
}

/** Whether some origin would get another answer than none. */
export function variesByOrigin(config: Config): boolean {
  return config.CKAN__CORS__ORIGIN_ALLOW_ALL || (config.CKAN__CORS__ORIGIN_WHITELIST?.length ?? 0) > 0;
}
