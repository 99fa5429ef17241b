/**
 * CKAN's action API, asked over one pool of kept connections with deadlines (promises P9, P11).
 *
 * Only an answer that is CKAN's own (JSON with `success`) counts; a redirect to a login page, HTML, a body beyond the
 * limit, silence or a refused connection are all `unavailable`. A breaker keeps a CKAN that is down from being
 * asked by every request: after `failuresToOpen` failures in a row it lets one question through at a time, with
 * growing pauses. CKAN may close a kept connection at the moment of a question: that one is asked again on a new one.
 */
import http from 'node:http';
import https from 'node:https';
import { errorMessage } from '../errors.ts';

/** Headers that carry a caller's identity; none for anonymous. */
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
  /** GET for CKAN's own side-effect-free actions; others accept only POST. */
  readonly method: 'GET' | 'POST';
}

export interface Ckan {
  ask(question: CkanRequest): Promise<CkanAnswer>;
  close(): void;
}

export interface CkanOptions {
  readonly siteUrl: string;
  /** Deadline of one question, connecting included. */
  readonly timeoutSeconds: number;
  readonly now: () => number;
  /** Called for each question that went out. */
  readonly onAsked?: (seconds: number, outcome: 'answered' | 'failed') => void;
}

/** `datastore_search` describes every column: a wide table with a long dictionary stays well below. */
const bodyLimitBytes = 8 * 1024 * 1024;
const connections = 16;

export function createCkan(options: CkanOptions): Ckan {
  const secure = options.siteUrl.startsWith('https:');
  const agent = new (secure ? https : http).Agent({ keepAlive: true, maxSockets: connections });
  const breaker = createBreaker(options.now);
  const ask = async (question: CkanRequest): Promise<CkanAnswer> => {
    const started = options.now();
    const answer = await request(secure ? https : http, agent, options, question);
    const refusedPlainly = answer.status >= 400 && answer.status < 500;
    const failed = answer.status >= 500 || (answer.kind === 'unavailable' && !refusedPlainly);
    options.onAsked?.((options.now() - started) / 1000, failed ? 'failed' : 'answered');
    breaker.note(failed);
    return answer;
  };
  return {
    ask: async (question) => {
      if (!breaker.admits()) return unavailable(0, 'CKAN has failed repeatedly; waiting');
      return ask(question);
    },
    close: () => agent.destroy(),
  };
}

const failuresToOpen = 5;
const shortestPause = 500;
const longestPause = 10_000;

/** Closed until failures come in a row; then one question per pause, the pause doubling until one is answered. */
function createBreaker(now: () => number): { admits(): boolean; note(failed: boolean): void } {
  let failures = 0;
  let nextAttempt = 0;
  return {
    admits: () => {
      if (failures < failuresToOpen) return true;
      if (now() < nextAttempt) return false;
      nextAttempt = now() + pauseAfter(failures);
      return true;
    },
    note: (failed) => {
      failures = failed ? failures + 1 : 0;
      if (failures >= failuresToOpen) nextAttempt = now() + pauseAfter(failures);
    },
  };
}

function pauseAfter(failures: number): number {
  return Math.min(longestPause, shortestPause * 2 ** Math.min(failures - failuresToOpen, 10));
}

async function request(
  transport: typeof http | typeof https,
  agent: http.Agent,
  { siteUrl, timeoutSeconds }: CkanOptions,
  { action, parameters, credentials, method }: CkanRequest,
): Promise<CkanAnswer> {
  const url = new URL(`${siteUrl}/api/3/action/${action}`);
  const body = method === 'POST' ? JSON.stringify(parameters) : '';
  if (method === 'GET') url.search = new URLSearchParams(parameters).toString();
  const headers = {
    ...credentials,
    accept: 'application/json',
    'user-agent': 'datastore-dumper',
    ...(body === '' ? {} : { 'content-type': 'application/json', 'content-length': Buffer.byteLength(body) }),
  };
  const signal = AbortSignal.timeout(timeoutSeconds * 1000);
  const send = (by: http.Agent | false): Promise<http.IncomingMessage> =>
    sent(transport.request(url, { agent: by, method, headers, signal }), body);
  try {
    const response = await send(agent).catch((error: unknown) => {
      if (error instanceof StaleConnection) return send(false);
      throw error;
    });
    return await read(response);
  } catch (error) {
    return unavailable(0, `CKAN cannot be asked: ${errorMessage(error)}`);
  }
}

/** A kept connection had been closed when it was used again; no byte of an answer came by it. */
class StaleConnection extends Error {}

/** All questions may be asked twice: they read, or set a status to what it is to be. */
async function sent(outgoing: http.ClientRequest, body: string): Promise<http.IncomingMessage> {
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

/** Undefined for what is no JSON: the parser's own message quotes the text, which may hold a caller's token. */
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
