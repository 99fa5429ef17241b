/** Errors of our own API as problem details (RFC 9457): `application/problem+json` with status, title and detail. */
import { STATUS_CODES } from 'node:http';
import type { Context } from 'koa';

export function answerProblem(ctx: Context, status: number, detail: string): void {
  ctx.status = status;
  ctx.set('Cache-Control', 'no-store');
  ctx.body = { type: 'about:blank', title: STATUS_CODES[status] ?? 'Error', status, detail };
  ctx.type = 'application/problem+json';
}
