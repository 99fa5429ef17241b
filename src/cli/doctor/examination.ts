/**
 * One examination of `doctor`, and how a row of them is made: each with a deadline, and each cause told once. What cannot
 * be asked while another one fails is left out, so that one wrong password is one line.
 */
import { withTimeout } from '../../async/timeout.ts';
import { DumperError, errorMessage } from '../../errors.ts';
import { redact } from '../../log.ts';

export interface Examination {
  readonly subject: string;
  /** What is true when it passes, or why it was left out; throws what is wrong. */
  readonly examine: (signal: AbortSignal) => Promise<string | LeftOut>;
  /** What to do when it fails. */
  readonly advice: string;
  /** Why it is left out, or null. */
  readonly leftOut: string | null;
  /** Subjects of those before it without which it cannot be asked. */
  readonly needs?: readonly string[];
}

export interface LeftOut {
  readonly leftOut: string;
}

interface Diagnosis {
  readonly subject: string;
  readonly state: 'ok' | 'failed' | 'left out';
  readonly detail: string;
  readonly advice: string;
}

interface RowOptions {
  /** Ends the row. */
  readonly signal: AbortSignal;
  /** Longest wait for one examination. */
  readonly deadlineSeconds: number;
}

export async function* examineAll(
  examinations: readonly Examination[],
  options: RowOptions,
): AsyncGenerator<Diagnosis> {
  const unusable = new Set<string>();
  for (const examination of examinations) {
    const { subject, advice } = examination;
    const missing = examination.needs?.find((needed) => unusable.has(needed));
    const found =
      missing === undefined
        ? await examineOne(examination, options)
        : ({ state: 'left out', detail: `cannot be asked before this is right: ${missing}` } as const);
    if (found.state === 'failed' || missing !== undefined) unusable.add(subject);
    yield { subject, advice, ...found };
  }
}

async function examineOne(
  { examine, leftOut }: Examination,
  { signal, deadlineSeconds }: RowOptions,
): Promise<Pick<Diagnosis, 'state' | 'detail'>> {
  if (leftOut !== null) return { state: 'left out', detail: leftOut };
  const over = new AbortController();
  try {
    const result = await withTimeout(examine(AbortSignal.any([signal, over.signal])), {
      milliseconds: deadlineSeconds * 1000,
      onTimeout: () => new DumperError('ABORTED', `no answer within ${deadlineSeconds} s`),
      signal,
    });
    return typeof result === 'string'
      ? { state: 'ok', detail: result }
      : { state: 'left out', detail: result.leftOut };
  } catch (error) {
    signal.throwIfAborted();
    return { state: 'failed', detail: redact(reasonOf(error)) };
  } finally {
    over.abort();
  }
}

/** `fetch` keeps the reason in the cause of an error that only says that it failed. */
function reasonOf(error: unknown): string {
  const { message, cause } = error as Error;
  return message === 'fetch failed' && cause !== undefined ? errorMessage(cause) : errorMessage(error);
}
