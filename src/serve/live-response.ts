/**
 * A dump given live: one COPY of the table as it is now, filtered and ordered as asked, through the same formatters
 * that write the blobs (promises P12, P13, P19, P22).
 *
 * What fails before the first byte becomes an answer; what fails after it resets the socket. A result that fits into
 * the first piece is held until the COPY has ended well, so that small answers have a length and never break off. The
 * connection of an answer that did not end well is destroyed, for its backend would keep its snapshot.
 */
import type { Context } from 'koa';
import type { CkanProfile } from '../ckan/profile.ts';
import { createChunkPool, inChunks, ownChunk, type Chunk } from '../dump/chunk-pool.ts';
import { copyRows } from '../dump/copy.ts';
import { createFormatter } from '../dump/format/formatter.ts';
import type { Formatter } from '../dump/formatter.ts';
import { setLocal, withSnapshot, type Snapshot } from '../dump/snapshot.ts';
import { DumperError, isDumperError, errorMessage } from '../errors.ts';
import { byteOrderMark, formatTable } from '../format.ts';
import { isUnavailable, type PoolClient } from '../postgres/pool.ts';
import type { ResourceId } from '../postgres/table.ts';
import { clientAbortSignal, resetSocket } from './client-abort.ts';
import { answerPlain, answerUnavailable, busyRetrySeconds, notFoundMessage, setCaching } from './errors.ts';
import type { LivePlan, Question, Refusal } from './question.ts';
import { planLive } from './question/plan.ts';
import { refusalOfPostgresError } from './question/refusal.ts';
import { createResponseWriter, compressIfAccepted, type ResponseWriter } from './response-writer.ts';
import type { ServeDeps } from './context.ts';

export interface LiveRequest {
  readonly id: ResourceId;
  readonly question: Question;
  readonly profile: CkanProfile;
  readonly public: boolean;
  readonly disposition: string;
}

export type LiveOutcome =
  | { readonly kind: 'answered'; readonly bytes: number }
  | { readonly kind: 'broken'; readonly cause: 'client' | 'stall' | 'postgres'; readonly reason: string };

export async function answerLive(deps: ServeDeps, ctx: Context, ask: LiveRequest): Promise<LiveOutcome> {
  const release = await deps.slots.acquire();
  if (release === null) {
    answerUnavailable(
      ctx,
      deps.config,
      'Too many live dumps at once; try again in a moment',
      busyRetrySeconds,
    );
    return { kind: 'answered', bytes: 0 };
  }
  const wire = createResponseWriter(ctx.res, deps.config.DUMPER_STALL_SECONDS);
  const signal = AbortSignal.any([clientAbortSignal(ctx.res), deps.ending]);
  try {
    const last = await scan(deps, ctx, ask, wire, signal).finally(release);
    if (last === null) return { kind: 'answered', bytes: 0 };
    await finish(ctx, wire, last);
    return { kind: 'answered', bytes: wire.bytes };
  } catch (error) {
    return breakOff(deps, ctx, ask, wire, error);
  }
}

/**
 * Answer as an error while that is possible, else make the break visible. What counts is what the wire was given: an
 * encoder may hold the first bytes while the headers are not out yet.
 */
function breakOff(
  deps: ServeDeps,
  ctx: Context,
  { question }: LiveRequest,
  wire: ResponseWriter,
  error: unknown,
): LiveOutcome {
  if (wire.bytes > 0 || ctx.res.headersSent || ctx.res.destroyed) {
    resetSocket(ctx.req);
    return { kind: 'broken', cause: causeOf(error), reason: errorMessage(error) };
  }
  ctx.respond = true;
  const refusal = refusalOfPostgresError(sourceOf(error), question);
  if (refusal === null) throw unavailableOr(error);
  answerPlain(ctx, deps.config, refusal.status, refusal.message);
  return { kind: 'answered', bytes: 0 };
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
  deps: ServeDeps,
  ctx: Context,
  ask: LiveRequest,
  wire: ResponseWriter,
  signal: AbortSignal,
): Promise<Chunk[] | null> {
  const { DUMPER_LOCK_SECONDS: lockSeconds, DUMPER_STALL_SECONDS: stallSeconds } = deps.config;
  const isView = ask.id.startsWith('_');
  // Only the head of JSON names the columns with their entries in the data dictionary.
  const comments = ask.question.format === 'json';
  const options = { lockSeconds, stallSeconds, signal, isView, comments };
  const scanned = await withSnapshot(deps.livePool, ask.id, options, async (snapshot) => {
    const plan = await prepare(deps, snapshot, ask);
    if (plan.kind === 'plan')
      return { last: await answer(deps, ctx, ask, { client: snapshot.client, plan, wire, signal }) };
    answerPlain(ctx, deps.config, plan.status, plan.message);
    return { last: null };
  });
  if (scanned === null) answerPlain(ctx, deps.config, 404, notFoundMessage);
  return scanned?.last ?? null;
}

/** Set the caller's values and let Postgres check them before the first byte. */
async function prepare(
  deps: ServeDeps,
  { client, columns, answered }: Snapshot,
  ask: LiveRequest,
): Promise<LivePlan | Refusal> {
  const plan = planLive(ask.question, { id: ask.id, columns }, ask.profile, {
    ftsLanguage: deps.config.CKAN__DATASTORE__DEFAULT_FTS_LANG,
  });
  if (plan.kind === 'refused') return plan;
  if (plan.settings.length > 0) await answered(setLocal(client, plan.settings));
  if (plan.probe !== null) await answered(client.query(plan.probe));
  return plan;
}

interface Running {
  readonly client: PoolClient;
  readonly plan: LivePlan;
  readonly wire: ResponseWriter;
  readonly signal: AbortSignal;
}

async function answer(
  deps: ServeDeps,
  ctx: Context,
  ask: LiveRequest,
  { client, plan, wire, signal }: Running,
): Promise<Chunk[] | null> {
  const { format, bom } = ask.question;
  describe(ctx, deps, ask);
  if (ctx.method === 'HEAD') return null;
  const formatter = createFormatter({ columns: plan.columns, formats: [format], profile: ask.profile });
  const pool = createChunkPool();
  const keep = (bytes: Uint8Array): Iterable<Chunk> =>
    wire.bytes > 0 ? inChunks(bytes, pool) : [ownChunk(bytes)];
  // Copies: what the formatter gives is valid during the call only.
  let held: Chunk[] = [...(bom ? [ownChunk(byteOrderMark)] : []), ownChunk(headOf(plan, formatter, ask))];
  await copyRows(client, plan.copy, formatter, {
    onBytes: (chunk) => {
      const before = formatter.rows;
      const rest = formatter.feed(chunk, (_format, bytes) => held.push(...keep(bytes)));
      if (rest !== null || (formatter.rows === before && wire.bytes === 0)) return rest;
      if (wire.bytes === 0) compressIfAccepted(wire, ctx, deps.config);
      ctx.respond = false;
      for (const { bytes, release } of held) wire.write(bytes, release);
      held = [];
      return null;
    },
    whenReady: (progress) => wire.ready(progress),
    signal,
    stallSeconds: deps.config.DUMPER_STALL_SECONDS,
  });
  return [...held, ownChunk(formatter.tail(format))];
}

/** Of CKAN's `fields=`, the head names no column although every row has them all. */
function headOf(plan: LivePlan, formatter: Formatter, { question, profile }: LiveRequest): Uint8Array {
  const { format } = question;
  if (plan.head.length === plan.columns.length) return formatter.head(format);
  return createFormatter({ columns: plan.head, formats: [format], profile }).head(format);
}

function describe(ctx: Context, { config }: ServeDeps, ask: LiveRequest): void {
  ctx.status = 200;
  ctx.set('Content-Type', formatTable[ask.question.format].mediaType);
  ctx.set('Content-Disposition', ask.disposition);
  ctx.set('X-Dump-Source', 'live');
  setCaching(ctx, config, ask.public);
  if (config.DUMPER_COMPRESS === 'on') ctx.vary('Accept-Encoding');
}

/** The last piece; an answer of which nothing was sent yet gets its length. */
async function finish(ctx: Context, wire: ResponseWriter, last: readonly Chunk[]): Promise<void> {
  ctx.respond = false;
  if (wire.bytes === 0) ctx.length = last.reduce((sum, { bytes }) => sum + bytes.length, 0);
  for (const { bytes, release } of last) if (bytes.length > 0) wire.write(bytes, release);
  await wire.end();
}
