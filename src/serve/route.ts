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
import { deliverBlob, type FreshBlob } from './deliver.ts';
import { fileNameOf, needsName } from './file-name.ts';
import { answerLive, type LiveAsk } from './live.ts';
import { lookUpOf } from './look-up.ts';
import { answerPlain, answerUnavailable, notFoundMessage, unavailableRetrySeconds } from './plain.ts';
import type { Question, Refusal } from './question.ts';
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
  /** As it stands in the address, decoded. */
  readonly name: string;
  /** As it stands in the address. */
  readonly query: string;
  readonly caller: Caller;
  readonly found: Found;
  readonly question: Question | Refusal;
  readonly profile: CkanProfile;
}

/** What the caller is to get. */
type Verdict =
  | { readonly kind: 'unavailable'; readonly reason: string }
  | { readonly kind: 'refused' }
  | { readonly kind: 'bad question'; readonly refusal: Refusal }
  /** The blob where there is a fresh one, else, or where the store has lost it, live. */
  | { readonly kind: 'allowed'; readonly ask: LiveAsk; readonly blob: FreshBlob | null };

export type AnswerDump = (ctx: Context, name: string, query: string) => Promise<void>;

export function createDumpRoute(world: ServeWorld): AnswerDump {
  const judge = judgeTogether(world);
  return async (ctx, name, query) => {
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
    return answer(world, ctx, await judge({ name, query, caller, found, question, profile }));
  };
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

/**
 * One verdict for all who share a look-up and ask the same with the same credentials: it is found out after each of
 * their requests, as the look-up is (promises P4 and P10), and a crowd at one dump costs little more than one caller.
 */
function judgeTogether(world: ServeWorld): (asked: Asked) => Promise<Verdict> {
  const verdicts = new WeakMap<TableState, Map<string, Promise<Verdict>>>();
  return (asked) => {
    const { caller, query, name, found } = asked;
    if (found.state === null) return judge(world, asked);
    const known = verdicts.get(found.state) ?? new Map<string, Promise<Verdict>>();
    verdicts.set(found.state, known);
    // Of these only a name can hold a line break.
    const key = `${caller.key}\n${query}\n${name}`;
    const verdict = known.get(key) ?? judge(world, asked);
    known.set(key, verdict);
    return verdict;
  };
}

async function judge(world: ServeWorld, asked: Asked): Promise<Verdict> {
  const { found, caller, question, profile } = asked;
  const permit = await world.permission.mayRead(found.id, caller);
  if (permit.kind !== 'allowed') return permit;
  if (question.kind === 'refused') return { kind: 'bad question', refusal: question };
  const template = world.config.DUMPER_FILENAME;
  const name = needsName(template) ? await world.resourceNames.nameOf(found.id, caller, permit.public) : null;
  const named = { asked: asked.name, name, id: found.id, question, profile, now: world.now() };
  const disposition = contentDisposition(fileNameOf(template, named));
  const ask = { id: found.id, question, profile, public: permit.public, disposition };
  return { kind: 'allowed', ask, blob: await freshBlob(world, found, ask) };
}

/** The fresh blob of what is asked; null: the answer must be live. */
async function freshBlob(world: ServeWorld, { state }: Found, ask: LiveAsk): Promise<FreshBlob | null> {
  const { id, question, profile, disposition } = ask;
  if (question.latest || state === null) return null;
  const manifest = await world.manifests.fresh(state, profile);
  // What no trigger tells (DDL) is heard of by the first who asks.
  if (manifest === null) world.noticeStale(id);
  const blob = manifest?.blobs[variantOf(question.format, question.bom)];
  if (
    manifest === null ||
    blob === undefined ||
    !isWhole(question, manifest) ||
    !isWholeFor(question, manifest.rows)
  )
    return null;
  const exposed = isExposed(manifest);
  if (exposed !== (ask.public && world.config.DUMPER_PUBLIC_BLOB_URL !== undefined)) {
    // Its readers are others since: its blobs are being moved.
    world.manifests.forget(id);
    world.noticeStale(id);
    if (exposed && !ask.public) return null;
  }
  return {
    manifest,
    blob,
    public: ask.public,
    disposition,
    ownDisposition: contentDisposition(`${id}.${question.format}`),
    withoutRedirect: !question.redirect,
  };
}

async function answer(world: ServeWorld, ctx: Context, verdict: Verdict): Promise<void> {
  const { config } = world;
  switch (verdict.kind) {
    case 'unavailable': {
      ctx.state['reason'] = verdict.reason;
      const message = 'CKAN cannot be asked for permission at the moment';
      return answerUnavailable(ctx, config, message, unavailableRetrySeconds);
    }
    case 'refused':
      return answerPlain(ctx, config, 404, notFoundMessage);
    case 'bad question':
      return answerPlain(ctx, config, verdict.refusal.status, verdict.refusal.message);
    case 'allowed': {
      const { ask, blob } = verdict;
      if (blob !== null && (await giveBlob(world, ctx, blob, ask.id))) return undefined;
      return giveLive(world, ctx, ask);
    }
  }
}

/** False: the store does not have it, and nothing was answered yet. */
async function giveBlob(world: ServeWorld, ctx: Context, blob: FreshBlob, id: ResourceId): Promise<boolean> {
  const delivered = await deliverBlob(world, ctx, blob);
  if (delivered.kind === 'missing') {
    world.manifests.forget(id);
    return false;
  }
  if (delivered.kind === 'broken') ctx.state['broken'] = 'store';
  else ctx.state['bytes'] = delivered.bytes;
  return true;
}

async function giveLive(world: ServeWorld, ctx: Context, ask: LiveAsk): Promise<void> {
  const outcome = await world.traces.span('live copy', {}, () => answerLive(world, ctx, ask));
  if (outcome.kind === 'broken') {
    ctx.state['broken'] = outcome.cause;
    ctx.state['reason'] = outcome.reason;
  } else ctx.state['bytes'] = outcome.bytes;
}
