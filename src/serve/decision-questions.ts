/**
 * The questions to CKAN that are under way: one for all who ask the same at once, answered by another replica where that
 * has asked already, remembered when answered (P10, lost access ends in time).
 *
 * A question about anonymous users goes on when its caller has stopped waiting, and is asked anew before its decision
 * ends (`renewal.ts`), so that a slow CKAN does not make public tables unavailable.
 */
import { createLatency } from '../ckan/latency.ts';
import type { PermissionAnswer } from './authorizer.ts';
import { anonymous, type Caller } from './caller.ts';
import { keyOf, type DecisionMemory } from './decision-memory.ts';
import type { SharedDecisions } from './decisions.ts';
import { callerWait, renewalPause } from './renewal.ts';

interface PendingQuestion {
  readonly askedAt: number;
  readonly answer: Promise<PermissionAnswer>;
}

interface DecisionQuestions {
  /** A question whose answer counts for who asks now; null: CKAN is late, and is not asked once more yet. */
  join(id: string, caller: Caller): PendingQuestion | null;
  /** Asks anew about anonymous users, in the background, where it is time to. */
  renew(id: string): void;
  /** How many milliseconds a caller who arrived then waits for a question; less with something to fall back on. */
  waitFor(question: PendingQuestion, arrivedAt: number, hasFallback: boolean): number;
}

interface QuestionOptions {
  readonly lifeMilliseconds: number;
  readonly waitMilliseconds: number;
  readonly shared: SharedDecisions | null;
  readonly now: () => number;
  readonly memory: DecisionMemory;
  ask(id: string, caller: Caller): Promise<PermissionAnswer>;
  /** CKAN has said, just now or to another replica, whether anonymous users may read a table. */
  onVisibility(id: string, isPublic: boolean): void;
}

const questionsATable = 3;

export function createDecisionQuestions(options: QuestionOptions): DecisionQuestions {
  const { now, memory, lifeMilliseconds, waitMilliseconds } = options;
  const pending = new Map<string, readonly PendingQuestion[]>();
  const latency = createLatency();
  /** What is under way for long tells of a slow CKAN before its answer does. */
  const pause = (questions: readonly PendingQuestion[]): number => {
    const age = now() - (questions[0]?.askedAt ?? now());
    const latencyMilliseconds = Math.max(latency.longest(), age);
    return renewalPause({ lifeMilliseconds, waitMilliseconds, latencyMilliseconds });
  };

  const start = (id: string, caller: Caller, freshSince: number): PendingQuestion => {
    const key = keyOf(id, caller);
    const askedAt = now();
    const answer = answerOnce(options, { id, caller, askedAt, freshSince }, (milliseconds) =>
      latency.record(milliseconds),
    ).finally(() => {
      const others = (pending.get(key) ?? []).filter((other) => other !== question);
      if (others.length === 0) pending.delete(key);
      else pending.set(key, others);
    });
    const question = { askedAt, answer };
    pending.set(key, [...(pending.get(key) ?? []), question]);
    return question;
  };

  const renew = (id: string): void => {
    const key = keyOf(id, anonymous);
    const questions = pending.get(key) ?? [];
    if (lifeMilliseconds === 0 || questions.length >= questionsATable) return;
    const known = memory.get(key);
    const knownAt = known === undefined ? -Infinity : known.endsAt - lifeMilliseconds;
    const dueSince = now() - pause(questions);
    if ((questions.at(-1)?.askedAt ?? knownAt) > dueSince) return;
    // Nobody waits for it; a fault leaves what is known as it is.
    start(id, anonymous, dueSince + lifeMilliseconds).answer.catch(() => undefined);
  };

  return {
    renew,
    join: (id, caller) => {
      const questions = pending.get(keyOf(id, caller)) ?? [];
      if (questions.length === 0) return start(id, caller, now());
      if (caller.key === anonymous.key) renew(id);
      // Its answer counts for who came within the life of the decision, as the decision itself would.
      const eldest = now() - Math.max(lifeMilliseconds, waitMilliseconds);
      return questions.find(({ askedAt }) => askedAt >= eldest) ?? null;
    },
    waitFor: ({ askedAt }, arrivedAt, hasFallback) => {
      const times = { waitMilliseconds, latencyMilliseconds: latency.longest() };
      return callerWait(times, { ageMilliseconds: arrivedAt - askedAt, hasFallback });
    },
  };
}

interface Asked {
  readonly id: string;
  readonly caller: Caller;
  readonly askedAt: number;
  /** Another replica's decision is taken if it ends later than this. */
  readonly freshSince: number;
}

async function answerOnce(
  { now, shared, memory, lifeMilliseconds, ask, onVisibility }: QuestionOptions,
  { id, caller, askedAt, freshSince }: Asked,
  onLatency: (milliseconds: number) => void,
): Promise<PermissionAnswer> {
  const key = keyOf(id, caller);
  const isForAll = caller.key === anonymous.key;
  const told = (await shared?.get(key)) ?? null;
  if (told !== null && told.endsAt > Math.max(now(), freshSince)) {
    memory.set(key, told);
    if (isForAll) onVisibility(id, told.decision === 'allowed');
    return told.decision;
  }
  const answer = await ask(id, caller);
  if (typeof answer !== 'string') return answer;
  if (isForAll) {
    onLatency(now() - askedAt);
    onVisibility(id, answer === 'allowed');
  }
  const remembered = { decision: answer, endsAt: askedAt + lifeMilliseconds };
  memory.set(key, remembered);
  void shared?.set(key, remembered);
  return answer;
}
