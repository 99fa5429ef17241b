/**
 * What every answer of the dump route has in common: who may keep it, what decides it, and errors as short plain text
 * with CKAN's message (repairs 2 and 4).
 */
import type { Context } from 'koa';
import type { Config } from '../config/config.ts';
import { isDumperError, errorMessage, type DumperError } from '../errors.ts';

/** CKAN's words for a table that is not there and for one that the caller may not see. */
export const notFoundMessage = 'DataStore resource not found';

export const busyRetrySeconds = 2;
export const unavailableRetrySeconds = 5;

/** The headers by which CKAN knows a user, whatever its settings. */
const inAnyCase = 'Cookie, Authorization';
const nobodys = 'private, no-store';

/** Public answers may be kept but never used unasked (CKAN 2.12 says the same); all others are nobody's to keep. */
export function cacheControlOf(isPublic: boolean): string {
  return isPublic ? 'public, max-age=0, must-revalidate' : nobodys;
}

/** The headers that decide an answer, as `Vary` names them. */
export function varyHeaders({ CKAN__APITOKEN_HEADER_NAME: tokenHeader }: Config): string {
  return tokenHeader === 'Authorization' ? inAnyCase : `${inAnyCase}, ${tokenHeader}`;
}

export function setCaching(ctx: Context, config: Config, isPublic: boolean): void {
  ctx.set('Cache-Control', cacheControlOf(isPublic));
  ctx.vary(varyHeaders(config));
}

export function answerPlain(ctx: Context, config: Config, status: number, message: string): void {
  setCaching(ctx, config, false);
  ctx.remove('Content-Disposition');
  ctx.remove('X-Dump-Source');
  ctx.remove('X-Accel-Expires');
  ctx.status = status;
  ctx.type = 'text/plain; charset=utf-8';
  ctx.body = `${message}\n`;
}

export function answerUnavailable(ctx: Context, config: Config, message: string, retrySeconds: number): void {
  answerPlain(ctx, config, 503, message);
  ctx.set('Retry-After', String(retrySeconds));
}

const errorMessages: Readonly<Partial<Record<DumperError['code'], string>>> = {
  POSTGRES_UNAVAILABLE: 'The DataStore cannot be asked at the moment',
  CKAN_UNAVAILABLE: 'CKAN cannot be asked for permission at the moment',
  BLOB_STORE_UNAVAILABLE: 'The dump cannot be read at the moment',
  TABLE_BUSY: 'The table is being changed; try again in a moment',
  TABLE_UNSAFE: 'This table cannot be dumped here: its rows depend on who reads it',
  CELL_TOO_LARGE: 'A value of this table is too large to be dumped',
};

/** Turn what was thrown before the first byte into an answer; says whether it was expected. */
export function answerError(ctx: Context, config: Config, error: unknown): 'expected' | 'unexpected' {
  const known = isDumperError(error);
  if (known && error.status === 503) {
    answerUnavailable(
      ctx,
      config,
      errorMessages[error.code] ?? 'Not available at the moment',
      unavailableRetrySeconds,
    );
    return 'expected';
  }
  if (isDumperError(error, 'NOT_FOUND')) {
    answerPlain(ctx, config, 404, 'There is nothing at this address');
    return 'expected';
  }
  answerPlain(ctx, config, 500, (known ? errorMessages[error.code] : undefined) ?? 'Internal server error');
  ctx.state['reason'] = errorMessage(error);
  return 'unexpected';
}
