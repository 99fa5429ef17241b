/**
 * A live dump: one COPY of the table as it is now, filtered and ordered as asked, through the same formatters that write
 * the blobs, so that its bytes are CKAN's (P22, byte parity).
 *
 * What fails before the first byte becomes an answer; what fails after it resets the socket (P19, breaks are visible). A
 * result that fits into the first piece is held back until the COPY has ended well, so that small answers have a length
 * and never break off. The connection of an answer that did not end well is destroyed, since its backend would keep its
 * snapshot (P12, a client that leaves frees its backend; P13, slow clients exhaust nothing).
 */
import type { CkanProfile } from '../ckan/profile.ts';
import type { Config } from '../config/config.ts';
import { createChunkPool, inChunks, ownChunk, type Chunk } from '../dump/chunk-pool.ts';
import { copyRows } from '../dump/copy.ts';
import { createFormatter } from '../dump/format/formatter.ts';
import type { Formatter } from '../dump/formatter.ts';
import { setLocal, withSnapshot, type Snapshot } from '../dump/snapshot.ts';
import { DumperError, isDumperError, errorMessage } from '../errors.ts';
import { byteOrderMark, formatTable } from '../format.ts';
import { isUnavailable, type PoolClient } from '../postgres/pool.ts';
import type { ResourceId } from '../postgres/table.ts';
import type { ServeDeps } from './context.ts';
import { answerText, answerUnavailable, busyRetrySeconds, notFoundMessage, setCaching } from './errors.ts';
import { planLive } from './question/plan.ts';
import type { LivePlan, Question, Refusal } from './question/question.ts';
import { refusalOfPostgresError } from './question/refusal.ts';
import type { ServeContext } from './request-state.ts';
import {
  clientAbortSignal,
  createResponseWriter,
  resetSocket,
  type ResponseWriter,
} from './response-writer.ts';

export interface LiveRequest {
  readonly id: ResourceId;
  readonly question: Question;
  readonly profile: CkanProfile;
  readonly public: boolean;
  readonly disposition: string;
}

type LiveDeps = Pick<ServeDeps, 'config' | 'slots' | 'livePool' | 'ending'>;

export async function respondWithLive(deps: LiveDeps, ctx: ServeContext, live: LiveRequest): Promise<void> {
  const release = await deps.slots.acquire();
  if (release === null) {
    const message = 'Too many live dumps at once; try again in a moment';
    answerUnavailable(ctx, deps.config, message, busyRetrySeconds);
    ctx.state.bytes = 0;
    return;
  }
  const writer = createResponseWriter(ctx.res, deps.config.DUMPER_STALL_SECONDS);
  const signal = AbortSignal.any([clientAbortSignal(ctx.res), deps.ending]);
  try {
    const rest = await scan(deps, ctx, live, writer, signal).finally(release);
    if (rest !== null) await finish(ctx, writer, rest);
    ctx.state.bytes = writer.bytes;
  } catch (error) {
    respondToFault(deps, ctx, live, writer, error);
  }
}

/**
 * Answer as an error while that is possible, else make the break visible. What counts is what the writer was given: an
 * encoder may hold the first bytes while the headers are not out yet.
 */
function respondToFault(
  { config }: LiveDeps,
  ctx: ServeContext,
  { question }: LiveRequest,
  writer: ResponseWriter,
  error: unknown,
): void {
  if (writer.bytes > 0 || ctx.res.headersSent || ctx.res.destroyed) {
    resetSocket(ctx.req);
    ctx.state.broken = causeOf(error);
    ctx.state.reason = errorMessage(error);
    return;
  }
  ctx.respond = true;
  const refusal = refusalOfPostgresError(sourceOf(error), question);
  if (refusal === null) throw unavailableOr(error);
  answerText(ctx, config, refusal.status, refusal.message);
  ctx.state.bytes = 0;
}

function causeOf(error: unknown): 'client' | 'stall' | 'postgres' {
  if (isDumperError(error, 'ABORTED')) return 'client';
  return isDumperError(error, 'COPY_STALLED') ? 'stall' : 'postgres';
}

function sourceOf(error: unknown): unknown {
  return isDumperError(error, 'COPY_BROKEN') && error.cause !== undefined ? error.cause : error;
}

function unavailableOr(error: unknown): unknown {
  const source = sourceOf(error);
  if (isDumperError(source) && !isDumperError(source, 'COPY_STALLED')) return source;
  if (!isUnavailable(source) && !isDumperError(source)) return source;
  return new DumperError('POSTGRES_UNAVAILABLE', `the live dump failed: ${errorMessage(source)}`, {
    cause: error,
  });
}

/** Run the transaction; returns the bytes still to be sent, or null when the answer is complete without a body. */
async function scan(
  deps: LiveDeps,
  ctx: ServeContext,
  live: LiveRequest,
  writer: ResponseWriter,
  signal: AbortSignal,
): Promise<Chunk[] | null> {
  const { DUMPER_LOCK_SECONDS: lockSeconds, DUMPER_STALL_SECONDS: stallSeconds } = deps.config;
  const options = { lockSeconds, stallSeconds, signal, isView: live.id.startsWith('_') };
  const scanned = await withSnapshot(deps.livePool, live.id, options, async (snapshot) => {
    const plan = await prepare(deps, snapshot, live);
    if (plan.kind === 'plan')
      return { rest: await copyBody(deps, ctx, live, { client: snapshot.client, plan, writer, signal }) };
    answerText(ctx, deps.config, plan.status, plan.message);
    return { rest: null };
  });
  if (scanned === null) answerText(ctx, deps.config, 404, notFoundMessage);
  return scanned?.rest ?? null;
}

/** Set the caller's values and let Postgres check them before the first byte. */
async function prepare(
  { config }: LiveDeps,
  { client, columns, answered }: Snapshot,
  { id, question, profile }: LiveRequest,
): Promise<LivePlan | Refusal> {
  const plan = planLive(question, { id, columns }, profile, {
    ftsLanguage: config.CKAN__DATASTORE__DEFAULT_FTS_LANG,
  });
  if (plan.kind === 'refused') return plan;
  if (plan.settings.length > 0) await answered(setLocal(client, plan.settings));
  if (plan.probe !== null) await answered(client.query(plan.probe));
  return plan;
}

interface PlannedCopy {
  readonly client: PoolClient;
  readonly plan: LivePlan;
  readonly writer: ResponseWriter;
  readonly signal: AbortSignal;
}

/** Write the body but for its last piece, which is returned; null for HEAD, which has none. */
async function copyBody(
  { config }: LiveDeps,
  ctx: ServeContext,
  live: LiveRequest,
  { client, plan, writer, signal }: PlannedCopy,
): Promise<Chunk[] | null> {
  const { format, bom } = live.question;
  setHeaders(ctx, config, live);
  if (ctx.method === 'HEAD') return null;
  const formatter = createFormatter({ columns: plan.columns, formats: [format], profile: live.profile });
  const pool = createChunkPool();
  const keep = (bytes: Uint8Array): Iterable<Chunk> =>
    writer.bytes > 0 ? inChunks(bytes, pool) : [ownChunk(bytes)];
  // Copies: what the formatter gives is valid during the call only.
  let held: Chunk[] = [...(bom ? [ownChunk(byteOrderMark)] : []), ownChunk(headOf(plan, formatter, live))];
  await copyRows(client, plan.copy, formatter, {
    onBytes: (chunk) => {
      const before = formatter.rows;
      const rest = formatter.feed(chunk, (_format, bytes) => held.push(...keep(bytes)));
      if (rest !== null || formatter.rows === before) return rest;
      if (writer.bytes === 0 && config.DUMPER_COMPRESS === 'on') {
        const encoding = writer.compressFor(ctx.get('Accept-Encoding'));
        if (encoding !== null) ctx.set('Content-Encoding', encoding);
      }
      ctx.respond = false;
      for (const { bytes, release } of held) writer.write(bytes, release);
      held = [];
      return null;
    },
    whenReady: (progress) => writer.ready(progress),
    signal,
    stallSeconds: config.DUMPER_STALL_SECONDS,
  });
  return [...held, ownChunk(formatter.tail(format))];
}

/** Of CKAN's `fields=`, the head names no column although every row has them all. */
function headOf(plan: LivePlan, formatter: Formatter, { question, profile }: LiveRequest): Uint8Array {
  const { format } = question;
  if (plan.head.length === plan.columns.length) return formatter.head(format);
  return createFormatter({ columns: plan.head, formats: [format], profile }).head(format);
}

function setHeaders(ctx: ServeContext, config: Config, live: LiveRequest): void {
  ctx.status = 200;
  ctx.set('Content-Type', formatTable[live.question.format].mediaType);
  ctx.set('Content-Disposition', live.disposition);
  ctx.set('X-Dump-Source', 'live');
  setCaching(ctx, config, live.public);
  if (config.DUMPER_COMPRESS === 'on') ctx.vary('Accept-Encoding');
}

/** Write the last piece; an answer of which nothing was sent yet gets its length. */
async function finish(ctx: ServeContext, writer: ResponseWriter, rest: readonly Chunk[]): Promise<void> {
  ctx.respond = false;
  if (writer.bytes === 0) ctx.length = rest.reduce((sum, { bytes }) => sum + bytes.length, 0);
  for (const { bytes, release } of rest) if (bytes.length > 0) writer.write(bytes, release);
  await writer.end();
}
