/**
 * The client of CKAN's action API: kept connections, a place in line, a deadline (promises P9 and P11: access only as CKAN
 * grants it, never a guess).
 *
 * Only an answer that is CKAN's own (JSON with `success`) counts; a redirect to a login page, HTML, a body beyond the
 * limit, silence and a refused connection are all `unavailable`. Anonymous questions, those of callers whose credentials
 * CKAN has accepted before, and those of all others wait in three lines (`fair-line.ts`), each with its own connections
 * and its own circuit breaker, so that no caller takes from another. The deadline runs from when a question has its
 * connection. A CKAN that is down opens the breaker: after `failuresToOpen` failures in a row one request goes through at
 * a time, with growing pauses. A CKAN that is only slow does not: an anonymous question that takes much longer than usual
 * is asked once more on a new connection, and the first answer counts. CKAN may close a kept connection just when a
 * request uses it: that request is sent again on a new connection.
 */
import { createHash } from 'node:crypto';
import http from 'node:http';
import https from 'node:https';
import { backoff } from '../async/retry.ts';
import { errorMessage } from '../errors.ts';
import { createLruCache } from '../lru.ts';
import { createFairLine, type FairLine } from './fair-line.ts';
import { createHedge } from './hedge.ts';

/** Headers that carry a caller's identity; none for an anonymous caller. */
export type CredentialHeaders = Readonly<Record<string, string>>;

export type CkanAnswer =
  | { readonly kind: 'answer'; readonly status: number; readonly result: unknown; readonly error: unknown }
  | {
      readonly kind: 'unavailable';
      /** 0 where nothing answered. */ readonly status: number;
      readonly reason: string;
    };

export interface CkanRequest {
  readonly action: string;
  readonly parameters: Readonly<Record<string, string>>;
  readonly credentials: CredentialHeaders;
  /** GET for CKAN's own actions without side effects; others accept only POST. */
  readonly method: 'GET' | 'POST';
  /** Nobody waits for just this answer: it has `backgroundFactor` times the deadline. */
  readonly background?: boolean;
}

export interface Ckan {
  ask(request: CkanRequest): Promise<CkanAnswer>;
  close(): void;
}

interface CkanOptions {
  readonly siteUrl: string;
  /** Deadline of one request from when it has its connection, connecting included; and the longest wait in line. */
  readonly timeoutSeconds: number;
  readonly now: () => number;
  /** Called for each request that was sent. */
  readonly onAsked?: (seconds: number, outcome: 'answered' | 'failed') => void;
}

/** `datastore_search` describes every column; even a wide table with a long data dictionary stays well below this. */
const bodyLimitBytes = 8 * 1024 * 1024;

/** 30 s with the default deadline: longer than a web server in front of CKAN waits for it. */
const backgroundFactor = 6;

/** Anonymous questions have most places: each is asked for all callers. */
const lines = {
  anonymous: { places: 32, placesEach: 32, waitingEach: 256, membersWaiting: 1 },
  known: { places: 8, placesEach: 4, waitingEach: 32, membersWaiting: 64 },
  unknown: { places: 4, placesEach: 1, waitingEach: 16, membersWaiting: 32 },
} as const;
type LaneName = keyof typeof lines;
const laneNames = Object.keys(lines) as LaneName[];
const connections = laneNames.reduce((sum, name) => sum + lines[name].places, 0);

interface Lane {
  readonly line: FairLine;
  readonly breaker: Breaker;
}

interface Sent {
  readonly answer: CkanAnswer;
  /** Its deadline passed: CKAN is slow, which is no failure. */
  readonly isOverdue: boolean;
}

const knownCallersKept = 10_000;

export function createCkan(options: CkanOptions): Ckan {
  const agent = new (isSecure(options) ? https : http).Agent({ keepAlive: true, maxSockets: connections });
  const lanes = openLanes(options);
  const known = createLruCache<true>(knownCallersKept);
  const hedge = createHedge<Sent>(options.now);
  const closing = new AbortController();
  const sendOn = (request: CkanRequest, by: http.Agent | false, cancel: AbortSignal): Promise<Sent> =>
    send(by, options, request, AbortSignal.any([cancel, closing.signal]));

  const askInLane = async (request: CkanRequest, name: LaneName, { breaker }: Lane): Promise<CkanAnswer> => {
    const started = options.now();
    const { answer, isOverdue } = await (name === 'anonymous'
      ? hedge(
          (isSecond, cancel) => sendOn(request, isSecond ? false : agent, cancel),
          (sent) => sent.answer.kind === 'answer',
        )
      : sendOn(request, agent, closing.signal));
    const isRefusal = answer.status >= 400 && answer.status < 500;
    const failed = answer.status >= 500 || (answer.kind === 'unavailable' && !isRefusal);
    options.onAsked?.((options.now() - started) / 1000, failed ? 'failed' : 'answered');
    if (!isOverdue) breaker.record(failed);
    return answer;
  };
  return {
    ask: async (request) => {
      const member = memberOf(request.credentials);
      const name = member === '' ? 'anonymous' : known.get(member) ? 'known' : 'unknown';
      const lane = lanes[name];
      const leave = await lane.line.enter(member);
      if (leave === null) return unavailable(0, 'CKAN cannot be asked: too many questions wait for it');
      try {
        if (!lane.breaker.admits()) return unavailable(0, 'CKAN has failed repeatedly; waiting');
        const answer = await askInLane(request, name, lane);
        if (name === 'unknown' && answer.kind === 'answer' && answer.status === 200) known.set(member, true);
        return answer;
      } finally {
        leave();
      }
    },
    close: () => {
      closing.abort();
      agent.destroy();
    },
  };
}

function openLanes({ now, timeoutSeconds }: CkanOptions): Readonly<Record<LaneName, Lane>> {
  const open = (name: LaneName): Lane => ({
    line: createFairLine({ ...lines[name], waitMilliseconds: timeoutSeconds * 1000 }),
    breaker: createBreaker(now),
  });
  return { anonymous: open('anonymous'), known: open('known'), unknown: open('unknown') };
}

/** Empty for anonymous; never the credentials themselves. */
function memberOf(credentials: CredentialHeaders): string {
  const parts = Object.entries(credentials);
  if (parts.length === 0) return '';
  return createHash('sha256').update(JSON.stringify(parts)).digest('base64url');
}

function isSecure({ siteUrl }: CkanOptions): boolean {
  return siteUrl.startsWith('https:');
}

const failuresToOpen = 5;
const pauseSeconds = backoff({ firstSeconds: 0.5, mostSeconds: 10 });

interface Breaker {
  admits(): boolean;
  record(failed: boolean): void;
}

/** Closed until failures come in a row; then one request per pause, and the pause doubles until one is answered. */
function createBreaker(now: () => number): Breaker {
  let failures = 0;
  let nextAttempt = 0;
  const pause = (): void => {
    nextAttempt = now() + pauseSeconds(failures - failuresToOpen + 1) * 1000;
  };
  return {
    admits: () => {
      if (failures < failuresToOpen) return true;
      if (now() < nextAttempt) return false;
      pause();
      return true;
    },
    record: (failed) => {
      failures = failed ? failures + 1 : 0;
      if (failures >= failuresToOpen) pause();
    },
  };
}

async function send(
  agent: http.Agent | false,
  options: CkanOptions,
  { action, parameters, credentials, method, background = false }: CkanRequest,
  cancel: AbortSignal,
): Promise<Sent> {
  const transport = isSecure(options) ? https : http;
  const url = new URL(`${options.siteUrl}/api/3/action/${action}`);
  const body = method === 'POST' ? JSON.stringify(parameters) : '';
  if (method === 'GET') url.search = new URLSearchParams(parameters).toString();
  const headers = {
    ...credentials,
    accept: 'application/json',
    'user-agent': 'datastore-dumper',
    ...(body === '' ? {} : { 'content-type': 'application/json', 'content-length': Buffer.byteLength(body) }),
  };
  const deadline = AbortSignal.timeout(options.timeoutSeconds * (background ? backgroundFactor : 1) * 1000);
  const signal = AbortSignal.any([deadline, cancel]);
  const sendBy = (by: http.Agent | false): Promise<http.IncomingMessage> =>
    responseTo(transport.request(url, { agent: by, method, headers, signal }), body);
  try {
    const response = await sendBy(agent).catch((error: unknown) => {
      if (error instanceof StaleConnection) return sendBy(false);
      throw error;
    });
    return { answer: await read(response), isOverdue: false };
  } catch (error) {
    const isOverdue = signal.aborted;
    const reason = isOverdue ? 'it did not answer in time' : errorMessage(error);
    return { answer: unavailable(0, `CKAN cannot be asked: ${reason}`), isOverdue };
  }
}

/** A kept connection was already closed when it was used again; it delivered no byte of an answer. */
class StaleConnection extends Error {}

/** Every request may be sent twice: it reads, or sets a status to a given value. */
async function responseTo(outgoing: http.ClientRequest, body: string): Promise<http.IncomingMessage> {
  const { promise, resolve, reject } = Promise.withResolvers<http.IncomingMessage>();
  let readBefore = 0;
  outgoing.once('socket', (socket) => {
    readBefore = socket.bytesRead;
  });
  outgoing.once('response', resolve);
  outgoing.on('error', (error: NodeJS.ErrnoException) => {
    const isLost = error.code === 'ECONNRESET' || error.code === 'EPIPE';
    const isStale = isLost && outgoing.reusedSocket && outgoing.socket?.bytesRead === readBefore;
    reject(isStale ? new StaleConnection(error.message, { cause: error }) : error);
  });
  outgoing.end(body);
  return promise;
}

async function read(response: http.IncomingMessage): Promise<CkanAnswer> {
  const status = response.statusCode ?? 0;
  if (!/\bjson\b/.test(response.headers['content-type'] ?? '')) {
    response.destroy();
    return unavailable(status, `CKAN answered ${status} without JSON`);
  }
  const chunks: Buffer[] = [];
  let bytes = 0;
  for await (const chunk of response) {
    const part = chunk as Buffer;
    bytes += part.length;
    if (bytes > bodyLimitBytes) {
      response.destroy();
      return unavailable(status, `CKAN answered ${status} with more than ${bodyLimitBytes} bytes`);
    }
    chunks.push(part);
  }
  return parse(status, Buffer.concat(chunks).toString('utf8'));
}

function parse(status: number, text: string): CkanAnswer {
  const parsed = parseJson(text);
  if (typeof parsed === 'string') return { kind: 'answer', status, result: undefined, error: parsed };
  if (typeof parsed !== 'object' || parsed === null || !('success' in parsed)) {
    return unavailable(status, `CKAN answered ${status} with JSON that is not its own`);
  }
  const { success, result, error } = parsed as { success: unknown; result?: unknown; error?: unknown };
  if ((status === 200) !== (success === true)) {
    return unavailable(status, `CKAN answered ${status} with success=${String(success)}`);
  }
  return { kind: 'answer', status, result, error };
}

/** Undefined for text that is not JSON: the parser's own message quotes the text, which may hold a caller's token. */
function parseJson(text: string): unknown {
  try {
    return JSON.parse(text) as unknown;
  } catch {
    return undefined;
  }
}

function unavailable(status: number, reason: string): CkanAnswer {
  return { kind: 'unavailable', status, reason };
}
