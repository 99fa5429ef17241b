/**
 * Errors as answers. On the dump route they are short plain text with CKAN's message (repairs 2 and 4); on the routes of
 * our own API they are problem details (RFC 9457). Here too: who may keep an answer, and which headers decide it.
 */
import { STATUS_CODES } from 'node:http';
import type { Config } from '../config/config.ts';
import { errorMessage, isDumperError, type DumperError } from '../errors.ts';
import type { ServeContext } from './request-state.ts';
import { resetSocket } from './response-writer.ts';

/** CKAN's words for a table that is not there and for one that the caller may not see. */
export const notFoundMessage = 'DataStore resource not found';

export const busyRetrySeconds = 2;
export const unavailableRetrySeconds = 5;

/** The headers by which CKAN knows a user, whatever its settings. */
const credentialHeaders = 'Cookie, Authorization';

/** Caches may keep public answers but never use them unasked (CKAN 2.12 says the same); they may keep no others. */
export function cacheControlOf(isPublic: boolean): string {
  return isPublic ? 'public, max-age=0, must-revalidate' : 'private, no-store';
}

/** The headers that decide an answer, as `Vary` names them. */
export function varyHeaders({ CKAN__APITOKEN_HEADER_NAME: tokenHeader }: Config): string {
  return tokenHeader === 'Authorization' ? credentialHeaders : `${credentialHeaders}, ${tokenHeader}`;
}

export function setCaching(ctx: ServeContext, config: Config, isPublic: boolean): void {
  ctx.set('Cache-Control', cacheControlOf(isPublic));
  ctx.vary(varyHeaders(config));
}

/** One line of plain text, which no cache may keep. */
export function answerText(ctx: ServeContext, config: Config, status: number, message: string): void {
  setCaching(ctx, config, false);
  ctx.remove('Content-Disposition');
  ctx.remove('X-Dump-Source');
  ctx.remove('X-Accel-Expires');
  ctx.status = status;
  ctx.type = 'text/plain; charset=utf-8';
  ctx.body = `${message}\n`;
}

/** 503 with `Retry-After`. */
export function answerUnavailable(
  ctx: ServeContext,
  config: Config,
  message: string,
  retrySeconds: number,
): void {
  answerText(ctx, config, 503, message);
  ctx.set('Retry-After', String(retrySeconds));
}

/** Problem details: `application/problem+json` with status, title and detail. */
export function answerProblem(ctx: ServeContext, status: number, detail: string): void {
  ctx.status = status;
  ctx.set('Cache-Control', 'no-store');
  ctx.body = { type: 'about:blank', title: STATUS_CODES[status] ?? 'Error', status, detail };
  ctx.type = 'application/problem+json';
}

const errorMessages: Readonly<Partial<Record<DumperError['code'], string>>> = {
  POSTGRES_UNAVAILABLE: 'The DataStore cannot be asked at the moment',
  CKAN_UNAVAILABLE: 'CKAN cannot be asked for permission at the moment',
  BLOB_STORE_UNAVAILABLE: 'The dump cannot be read at the moment',
  TABLE_BUSY: 'The table is being changed; try again in a moment',
  CELL_TOO_LARGE: 'A value of this table is too large to be dumped',
};

/**
 * The answer to what was thrown and nobody caught; says whether it was expected. An answer whose headers are out is reset,
 * so that the client sees the break (P19, breaks are visible).
 */
export function respondWithError(
  ctx: ServeContext,
  config: Config,
  error: unknown,
): 'expected' | 'unexpected' {
  if (ctx.res.headersSent) {
    ctx.respond = false;
    resetSocket(ctx.req);
    return 'unexpected';
  }
  ctx.respond = true;
  const kind = answerError(ctx, config, error);
  if (ctx.state.route !== 'dump') answerProblem(ctx, ctx.status, String(ctx.body).trim());
  return kind;
}

function answerError(ctx: ServeContext, config: Config, error: unknown): 'expected' | 'unexpected' {
  const message = isDumperError(error) ? errorMessages[error.code] : undefined;
  if (isDumperError(error) && error.status === 503) {
    answerUnavailable(ctx, config, message ?? 'Not available at the moment', unavailableRetrySeconds);
    return 'expected';
  }
  if (isDumperError(error, 'NOT_FOUND')) {
    answerText(ctx, config, 404, 'There is nothing at this address');
    return 'expected';
  }
  answerText(ctx, config, 500, message ?? 'Internal server error');
  ctx.state.reason = errorMessage(error);
  return 'unexpected';
}
