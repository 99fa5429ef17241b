/**
 * The form of a table's page that queues a publication. The admin token is a field of the form, never a cookie, so no
 * other site can make a reader's browser send it; it is kept nowhere (promise P9).
 */
import { bodyParser } from '@koa/bodyparser';
import type { Context } from 'koa';
import { mapPostgresErrors } from '../postgres/pool.ts';
import { lookUpTable } from '../postgres/revision.ts';
import { renderWrongToken } from './page/table-page.ts';
import { sendPage } from './pages.ts';
import { answerPlain } from './errors.ts';
import { isAdminToken } from './who-asks.ts';
import type { ServeDeps } from './context.ts';

/** Reads a small form; anything else is no body. */
export const readForm = bodyParser({ enableTypes: ['form'], formLimit: '4kb', onError: () => undefined });

/** Back to the table's page when it is queued (303, so that a reload asks for nothing). */
export async function answerRebuildForm(deps: ServeDeps, ctx: Context, name: string): Promise<void> {
  ctx.set('Cache-Control', 'private, no-store');
  if (!isAdminToken(deps.config.DUMPER_ADMIN_TOKEN, tokenOf(ctx.request.body))) {
    ctx.status = 403;
    return sendPage(ctx, renderWrongToken(name));
  }
  if (deps.rebuild === null) return answerPlain(ctx, deps.config, 503, 'Nothing is published here');
  const state = await mapPostgresErrors('POSTGRES_UNAVAILABLE', () => lookUpTable(deps.readPool, name));
  if (state === null) return answerPlain(ctx, deps.config, 404, 'No such table');
  await deps.rebuild(state.id);
  ctx.status = 303;
  ctx.set('Location', `../${encodeURIComponent(state.id)}?queued=1`);
  ctx.body = '';
}

function tokenOf(body: unknown): string | undefined {
  if (typeof body !== 'object' || body === null || !('token' in body)) return undefined;
  return typeof body.token === 'string' ? body.token : undefined;
}
