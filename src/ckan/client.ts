/**
 * The client of CKAN's action API: one pool of kept connections, with deadlines (promises P9 and P11: access only as CKAN
 * grants it, never a guess).
 *
 * Only an answer that is CKAN's own (JSON with `success`) counts; a redirect to a login page, HTML, a body beyond the
 * limit, silence and a refused connection are all `unavailable`. A circuit breaker protects a CKAN that is down: after
 * `failuresToOpen` failures in a row it lets one request through at a time, with growing pauses. CKAN may close a kept
 * connection just when a request uses it: that request is sent again on a new connection.
 */
import http from 'node:http';
import https from 'node:https';
import { backoff } from '../async/retry.ts';
import { errorMessage } from '../errors.ts';

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
}

export interface Ckan {
  ask(request: CkanRequest): Promise<CkanAnswer>;
  close(): void;
}

interface CkanOptions {
  readonly siteUrl: string;
  /** Deadline of one request, connecting included. */
  readonly timeoutSeconds: number;
  readonly now: () => number;
  /** Called for each request that was sent. */
  readonly onAsked?: (seconds: number, outcome: 'answered' | 'failed') => void;
}

/** `datastore_search` describes every column; even a wide table with a long data dictionary stays well below this. */
const bodyLimitBytes = 8 * 1024 * 1024;
const connections = 16;

export function createCkan(options: CkanOptions): Ckan {
  const secure = options.siteUrl.startsWith('https:');
  const agent = new (secure ? https : http).Agent({ keepAlive: true, maxSockets: connections });
  const breaker = createBreaker(options.now);
  const ask = async (request: CkanRequest): Promise<CkanAnswer> => {
    const started = options.now();
    const answer = await send(secure ? https : http, agent, options, request);
    const isRefusal = answer.status >= 400 && answer.status < 500;
    const failed = answer.status >= 500 || (answer.kind === 'unavailable' && !isRefusal);
    options.onAsked?.((options.now() - started) / 1000, failed ? 'failed' : 'answered');
    breaker.record(failed);
    return answer;
  };
  return {
    ask: async (request) => {
      if (!breaker.admits()) return unavailable(0, 'CKAN has failed repeatedly; waiting');
      return ask(request);
    },
    close: () => agent.destroy(),
  };
}

const failuresToOpen = 5;
const pauseSeconds = backoff({ firstSeconds: 0.5, mostSeconds: 10 });

/** Closed until failures come in a row; then one request per pause, and the pause doubles until one is answered. */
function createBreaker(now: () => number): { admits(): boolean; record(failed: boolean): void } {
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
  const sendBy = (by: http.Agent | false): Promise<http.IncomingMessage> =>
    responseTo(transport.request(url, { agent: by, method, headers, signal }), body);
  try {
    const response = await sendBy(agent).catch((error: unknown) => {
      if (error instanceof StaleConnection) return sendBy(false);
      throw error;
    });
    return await read(response);
  } catch (error) {
    return unavailable(0, `CKAN cannot be asked: ${errorMessage(error)}`);
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
