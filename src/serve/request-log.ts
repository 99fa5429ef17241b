/** What is told of each answer, whichever path gave it: its id, its line in the log, its share of the metrics. */
import { randomUUID } from 'node:crypto';
import { withoutRedaction } from '../log.ts';
import type { ServeDeps } from './context.ts';

/** An answer that has ended. */
export interface RequestOutcome {
  readonly request: string;
  readonly method: string;
  /** As it stands in the request line, without the query. */
  readonly path: string;
  readonly status: number;
  /** `blob`, `live`, or none. */
  readonly source: string | undefined;
  readonly format: string | undefined;
  /** Of the body, where the dump and blob routes sent one. */
  readonly bytes: number | undefined;
  /** Why it broke off. */
  readonly broken?: string | undefined;
  readonly reason?: string | undefined;
  readonly seconds: number;
}

export interface RequestLog {
  /** Of the dump route alone. */
  count(given: RequestOutcome): void;
  /** `fault`: what nobody expected. */
  log(given: RequestOutcome, fault?: unknown): void;
}

export function createRequestLog({ metrics, log }: Pick<ServeDeps, 'metrics' | 'log'>): RequestLog {
  const plain = withoutRedaction(log);
  return {
    count: ({ source = 'none', status, format = 'none', seconds, bytes, broken }) => {
      metrics.answers.inc({ source, status: String(status), format });
      metrics.answerSeconds.observe({ source }, seconds);
      if (bytes) metrics.answerBytes.inc({ source }, bytes);
      if (broken !== undefined) metrics.brokenAnswers.inc({ cause: broken });
    },
    log: (given, fault) => {
      if (fault !== undefined) plain.error({ ...lineOf(given), err: fault }, 'request failed');
      else if (plain.isLevelEnabled('info')) plain.info(lineOf(given), 'request');
    },
  };
}

function lineOf({
  request,
  method,
  path,
  status,
  source,
  bytes,
  seconds,
  broken,
  reason,
}: RequestOutcome): object {
  const milliseconds = Math.round(seconds * 1000);
  return { request, method, path, status, source, bytes, milliseconds, broken, reason };
}

const sanePattern = /^[\w.:/+=-]{1,128}$/;

/** The id that the proxy in front gave a request, else a new one. */
export function requestIdOf(given: string | string[] | undefined): string {
  return typeof given === 'string' && sanePattern.test(given) ? given : randomUUID();
}
