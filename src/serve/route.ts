/**
 * A dump is asked for: the whole answer table of `GET, HEAD /datastore/dump/<id or alias>`.
 *
 * | in this order | answer |
 * |---|---|
 * | the version of CKAN is not known yet | 503 |
 * | (2.12) a bad parameter | 400 |
 * | no such table or alias | 404 |
 * | CKAN cannot be asked | 503 |
 * | CKAN refuses the caller | 404, the same words |
 * | a bad parameter | 400 |
 * | the whole table, and a blob of its present revision | the blob: 302, 200, 206, 304 or 416 (`deliver.ts`) |
 * | anything else | live, 200; 400 for what Postgres refuses; 503 without a slot (`live.ts`) |
 *
 * Promises P4 (the token is read within this very request), P9 and P11. Only CKAN's order of checks differs by version.
 */
import type { Context } from 'koa';
import type { CkanProfile } from '../ckan-profile.ts';
import { readColumns } from '../catalogue.ts';
import { contentDisposition } from '../content-disposition.ts';
import { isExposed } from '../dump/conceal.ts';
import { variantOf } from '../format.ts';
import { asking } from '../postgres.ts';
import type { TableState } from '../revision.ts';
import { asResourceId, type ResourceId } from '../table.ts';
import type { Caller } from './caller.ts';
import { deliverBlob } from './deliver.ts';
import { fileNameOf, needsName } from './file-name.ts';
import { answerLive } from './live.ts';
import { lookUpOf } from './look-up.ts';
import { answerPlain, answerUnavailable, notFoundMessage, unavailableRetrySeconds } from './plain.ts';
import type { Question } from './question.ts';
import { parseQuestion } from './question/parse.ts';
import { isWhole, isWholeFor } from './question/whole.ts';
import { whoAsks } from './who-asks.ts';
import type { ServeWorld } from './world.ts';

/** The table that a name led to; `state` is null for CKAN's own views, which are never published. */
interface Found {
  readonly id: ResourceId;
  readonly state: TableState | null;
}

interface Asked {
  readonly name: string;
  readonly caller: Caller;
  readonly found: Found;
  readonly question: Question;
  readonly profile: CkanProfile;
  readonly public: boolean;
}

export async function answerDump(
  world: ServeWorld,
  ctx: Context,
  name: string,
  query: string,
): Promise<void> {
  const { config } = world;
  const profile = world.profile();
  if (profile === null) {
    return answerUnavailable(ctx, config, 'The version of CKAN is not known yet', unavailableRetrySeconds);
  }
  const question = parseQuestion(query);
  if (question.kind === 'question') ctx.state['format'] = question.format;
  if (question.kind === 'refused' && profile.parametersBeforeTable) {
    return answerPlain(ctx, config, question.status, question.message);
  }
  const found = await asking('POSTGRES_UNAVAILABLE', () => find(world, profile, name));
  if (found === null) return answerPlain(ctx, config, 404, notFoundMessage);
  const caller = whoAsks(world, ctx);
  const permit = await world.permission.mayRead(found.id, caller);
  if (permit.kind === 'unavailable') {
    ctx.state['reason'] = permit.reason;
    const message = 'CKAN cannot be asked for permission at the moment';
    return answerUnavailable(ctx, config, message, unavailableRetrySeconds);
  }
  if (permit.kind === 'refused') return answerPlain(ctx, config, 404, notFoundMessage);
  if (question.kind === 'refused') return answerPlain(ctx, config, question.status, question.message);
  return answerAsked(world, ctx, { name, caller, found, question, profile, public: permit.public });
}

const metadataView = '_table_metadata';

/**
 * Resolve a name as CKAN does. Its list of tables is a view of its own; other names that begin with `_` are internal,
 * and 2.12 gives them to nobody.
 */
async function find(world: ServeWorld, profile: CkanProfile, name: string): Promise<Found | null> {
  if (name === metadataView) {
    const columns = await readColumns(world.readPool, asResourceId(name));
    return columns.length === 0 ? null : { id: asResourceId(name), state: null };
  }
  if (name.startsWith('_') && profile.version === '2.12') return null;
  const state = await world.traces.span('look up the table', {}, () => lookUpOf(world.readPool)(name));
  return state === null ? null : { id: state.id, state };
}

async function answerAsked(world: ServeWorld, ctx: Context, asked: Asked): Promise<void> {
  const { found, question, profile } = asked;
  const template = world.config.DUMPER_FILENAME;
  const name = needsName(template)
    ? await world.resourceNames.nameOf(found.id, asked.caller, asked.public)
    : null;
  const named = { asked: asked.name, name, id: found.id, question, profile, now: world.now() };
  const disposition = contentDisposition(fileNameOf(template, named));
  if (await answerBlob(world, ctx, asked, disposition)) return;
  const ask = { id: found.id, question, profile, public: asked.public, disposition };
  const outcome = await world.traces.span('live copy', {}, () => answerLive(world, ctx, ask));
  if (outcome.kind === 'broken') {
    ctx.state['broken'] = outcome.cause;
    ctx.state['reason'] = outcome.reason;
  } else ctx.state['bytes'] = outcome.bytes;
}

/** Answer by the blob if there is a fresh one of what is asked; false: the answer must be live. */
async function answerBlob(
  world: ServeWorld,
  ctx: Context,
  asked: Asked,
  disposition: string,
): Promise<boolean> {
  const { question, found, profile } = asked;
  if (question.latest || found.state === null) return false;
  const manifest = await world.manifests.fresh(found.state, profile);
  // What no trigger tells (DDL) is heard of by the first who asks.
  if (manifest === null) world.noticeStale(found.id);
  const blob = manifest?.blobs[variantOf(question.format, question.bom)];
  if (
    manifest === null ||
    blob === undefined ||
    !isWhole(question, manifest) ||
    !isWholeFor(question, manifest.rows)
  )
    return false;
  const exposed = isExposed(manifest);
  if (exposed !== (asked.public && world.config.DUMPER_PUBLIC_BLOB_URL !== undefined)) {
    // Its readers are others since: its blobs are being moved.
    world.manifests.forget(found.id);
    world.noticeStale(found.id);
    if (exposed && !asked.public) return false;
  }
  const delivered = await deliverBlob(world, ctx, {
    manifest,
    blob,
    public: asked.public,
    disposition,
    ownDisposition: contentDisposition(`${found.id}.${question.format}`),
    withoutRedirect: !question.redirect,
  });
  if (delivered.kind === 'missing') {
    world.manifests.forget(found.id);
    return false;
  }
  if (delivered.kind === 'broken') ctx.state['broken'] = 'store';
  else ctx.state['bytes'] = delivered.bytes;
  return true;
}
