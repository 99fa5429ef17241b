/**
 * Whether this caller may read this table. CKAN is asked as the caller (`authorizer.ts`; P9, nothing that CKAN would
 * refuse; P11, never a guess); the answer is kept for a moment (P10, lost access ends in time).
 *
 * Anonymous is asked first, once for all callers: what it may read, everybody may, as bad tokens are anonymous to CKAN.
 * A slow CKAN must not make public tables unavailable, so an anonymous question goes on when its caller has stopped
 * waiting, and is asked anew before the decision ends (`decision-questions.ts`). What anonymous users were last granted may count
 * for longer while CKAN cannot be asked, and only then: where CKAN's search has listed the table since, for the life of
 * that, and for a grace that the operator has set. A refusal ends both.
 */
import { withTimeout } from '../async/timeout.ts';
import type { Ckan } from '../ckan/client.ts';
import type { Log } from '../log.ts';
import { createAuthorizer, type PermissionAnswer } from './authorizer.ts';
import { anonymous, type Caller } from './caller.ts';
import { createDecisionMemory, keyOf, type DecisionMemory } from './decision-memory.ts';
import { createDecisionQuestions } from './decision-questions.ts';
import type { Decision, SharedDecisions } from './decisions.ts';

type Permit =
  | { readonly kind: 'allowed'; /** Anonymous users may read it too. */ readonly public: boolean }
  | { readonly kind: 'refused' }
  | { readonly kind: 'unavailable'; readonly reason: string };

export interface Permission {
  mayRead(id: string, caller: Caller): Promise<Permit>;
  /** CKAN's own word on anonymous users, waited for as long as it takes; null while CKAN cannot be asked. */
  isPublic(id: string): Promise<boolean | null>;
  onListed: DecisionMemory['onListed'];
  /** How CKAN is asked, for people: `datastore_authorize`, `datastore_search`, `unknown` before the first answer. */
  how(): string;
}

interface PermissionOptions {
  readonly ckan: Ckan;
  readonly decisionSeconds: number;
  /** How long a caller waits for what is asked for all callers; 5 unless given. */
  readonly waitSeconds?: number;
  /** For how long what anonymous users may read outlives its decision while CKAN cannot be asked; 0 unless given. */
  readonly graceSeconds?: number;
  /** CKAN's `public_table_search`: tables that anyone may read, without asking. */
  readonly publicTables: readonly string[];
  readonly shared: SharedDecisions | null;
  readonly now: () => number;
  readonly log: Log;
  readonly onDecision?: (from: 'cache' | 'ckan', outcome: string) => void;
  /** CKAN has said, just now or to another replica, whether anonymous users may read a table. */
  readonly onVisibility?: (id: string, isPublic: boolean) => void;
}

/** `DUMPER_AUTHORIZE=off`: everything is public. */
export const openToAll: Permission = {
  mayRead: async () => ({ kind: 'allowed', public: true }),
  isPublic: async () => true,
  onListed: () => undefined,
  how: () => 'off',
};

const notInTime: PermissionAnswer = {
  unavailable: 'CKAN cannot be asked: it did not answer in time',
  isOutage: true,
};

export function createPermission(options: PermissionOptions): Permission {
  const { publicTables, now, onDecision, waitSeconds = 5, graceSeconds = 0 } = options;
  const lifeMilliseconds = options.decisionSeconds * 1000;
  const memory = createDecisionMemory(lifeMilliseconds, graceSeconds * 1000);
  const authorizer = createAuthorizer(options);
  const questions = createDecisionQuestions({
    ...options,
    memory,
    lifeMilliseconds,
    waitMilliseconds: waitSeconds * 1000,
    ask: async (id, caller) => {
      const answer = await authorizer.ask(id, caller);
      onDecision?.('ckan', typeof answer === 'string' ? answer : 'unavailable');
      return answer;
    },
    onVisibility: (id, isPublic) => options.onVisibility?.(id, isPublic),
  });

  const recall = (id: string, caller: Caller): Decision | null => {
    const known = memory.get(keyOf(id, caller));
    if (known === undefined || known.endsAt <= now()) return null;
    onDecision?.('cache', known.decision);
    return known.decision;
  };
  const decide = async (id: string, caller: Caller): Promise<PermissionAnswer> =>
    recall(id, caller) ?? questions.join(id, caller)?.answer ?? notInTime;

  /** Of anonymous users, for a caller who does not wait for ever. */
  const decideForAll = async (id: string): Promise<PermissionAnswer> => {
    const arrivedAt = now();
    const known = recall(id, anonymous);
    if (known === 'allowed') questions.renew(id);
    if (known !== null) return known;
    const hasFallback = memory.outlives(id, arrivedAt);
    const question = questions.join(id, anonymous);
    const wait = question === null ? 0 : questions.waitFor(question, arrivedAt, hasFallback);
    const answer = question === null ? notInTime : await answerWithin(question.answer, wait);
    // For who comes again after a while.
    if (answer === notInTime) questions.renew(id);
    if (typeof answer === 'string' || !answer.isOutage) return answer;
    return memory.outlives(id, arrivedAt) ? 'allowed' : answer;
  };

  return {
    how: authorizer.how,
    onListed: memory.onListed,
    isPublic: async (id) => {
      if (publicTables.includes(id)) return true;
      const answer = await decide(id, anonymous);
      return typeof answer === 'string' ? answer === 'allowed' : null;
    },
    mayRead: async (id, caller) => {
      if (publicTables.includes(id)) return { kind: 'allowed', public: true };
      const everybody = await decideForAll(id);
      if (everybody === 'allowed') return { kind: 'allowed', public: true };
      const answer = caller.key === anonymous.key ? everybody : await decide(id, caller);
      return permitOf(answer);
    },
  };
}

/** Of an answer that is about one caller. */
function permitOf(answer: PermissionAnswer): Permit {
  if (typeof answer !== 'string') return { kind: 'unavailable', reason: answer.unavailable };
  return answer === 'refused' ? { kind: 'refused' } : { kind: 'allowed', public: false };
}

async function answerWithin(
  answer: Promise<PermissionAnswer>,
  milliseconds: number,
): Promise<PermissionAnswer> {
  if (milliseconds === 0) return notInTime;
  const late = new Error('late');
  return withTimeout(answer, { milliseconds, onTimeout: () => late }).catch((error: unknown) => {
    if (error === late) return notInTime;
    throw error;
  });
}
