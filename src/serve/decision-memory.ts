/**
 * The decisions that this process remembers, each with its end (P10, lost access ends in time), and what may count beyond
 * it for anonymous users while CKAN cannot be asked: only what CKAN granted last, never what it refused.
 */
import { createLruCache } from '../lru.ts';
import { anonymous, type Caller } from './caller.ts';
import type { RememberedDecision } from './decisions.ts';

interface Remembered extends RememberedDecision {
  /** CKAN's search has listed the table since; this counts no longer than a decision of that moment. */
  readonly listedUntil?: number;
}

export interface DecisionMemory {
  get(key: string): RememberedDecision | undefined;
  /** The answer to an earlier question may come after that to a later one: the one that ends later stands. */
  set(key: string, remembered: RememberedDecision): void;
  /** CKAN's search, asked at `askedAt` (milliseconds of Unix time), lists these tables to anonymous users. */
  onListed(ids: Iterable<string>, askedAt: number): void;
  /** Whether anonymous users may go on reading what they could at this moment although CKAN does not answer. */
  outlives(id: string, at: number): boolean;
}

const decisionsKept = 50_000;

export function keyOf(id: string, { key }: Caller): string {
  return `${key}/${id}`;
}

export function createDecisionMemory(lifeMilliseconds: number, graceMilliseconds: number): DecisionMemory {
  const recent = createLruCache<Remembered>(decisionsKept);
  return {
    get: (key) => recent.get(key),
    set: (key, remembered) => {
      if ((recent.get(key)?.endsAt ?? 0) <= remembered.endsAt) recent.set(key, remembered);
    },
    onListed: (ids, askedAt) => {
      for (const id of ids) {
        const key = keyOf(id, anonymous);
        const known = recent.get(key);
        // The search shows what extensions refuse: it renews what CKAN has granted by its own rule, and grants nothing.
        if (known?.decision === 'allowed') {
          recent.set(key, { ...known, listedUntil: askedAt + lifeMilliseconds });
        }
      }
    },
    outlives: (id, at) => {
      const known = recent.get(keyOf(id, anonymous));
      if (known?.decision !== 'allowed') return false;
      return Math.max(known.endsAt + graceMilliseconds, known.listedUntil ?? 0) > at;
    },
  };
}
