/**
 * An HTTP double in front of a real S3 server: passes everything on, unless a rule takes the request first. For the
 * faults that a TCP proxy cannot make: a part refused with 500, a completion that fails, a byte changed on its way.
 */
import { createServer, request, type IncomingMessage, type ServerResponse } from 'node:http';
import type { AddressInfo } from 'node:net';
import { pipeline } from 'node:stream/promises';

export type S3Fault = 'error-500' | 'not-implemented' | 'flip-byte' | 'lose-answer' | 'change-etag';

export interface S3FaultServer {
  readonly port: number;
  readonly host: string;
  /** Which fault a request meets, if any. Called once a request, in order of arrival. */
  rule: (method: string, url: URL, headers: IncomingMessage['headers']) => S3Fault | null;
  /** Requests seen since the start: `METHOD path?query`. */
  readonly seen: string[];
  stop(): Promise<void>;
}

export async function startS3Faults(target: { host: string; port: number }): Promise<S3FaultServer> {
  const seen: string[] = [];
  const server = createServer((asked, answer) => {
    const url = new URL(asked.url ?? '/', 'http://s3');
    const method = asked.method ?? 'GET';
    seen.push(`${method} ${url.pathname}${url.search}`);
    meet(doubled.rule(method, url, asked.headers), target, asked, answer).catch(() => answer.destroy());
  });
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  const doubled: S3FaultServer = {
    host: '127.0.0.1',
    port: (server.address() as AddressInfo).port,
    rule: () => null,
    seen,
    stop: async () => {
      const closed = new Promise((resolve) => server.close(resolve));
      server.closeAllConnections();
      await closed;
    },
  };
  return doubled;
}

async function meet(
  fault: S3Fault | null,
  target: { host: string; port: number },
  asked: IncomingMessage,
  answer: ServerResponse,
): Promise<void> {
  if (fault === 'error-500' || fault === 'not-implemented') {
    for await (const _ of asked);
    const [status, code] = fault === 'error-500' ? [500, 'InternalError'] : [501, 'NotImplemented'];
    answer.writeHead(status, { 'content-type': 'application/xml' });
    answer.end(`<?xml version="1.0"?><Error><Code>${code}</Code><Message>double</Message></Error>`);
    return;
  }
  const onward = request({ ...target, method: asked.method, path: asked.url, headers: asked.headers });
  const answered = new Promise<IncomingMessage>((resolve, reject) => {
    onward.once('response', resolve);
    onward.once('error', reject);
  });
  answered.catch(() => undefined);
  await pipeline(asked, fault === 'flip-byte' ? flipping : passing, onward);
  const response = await answered;
  if (fault === 'lose-answer') {
    for await (const _ of response);
    answer.socket?.resetAndDestroy();
    return;
  }
  const changed = fault === 'change-etag' ? { etag: '"another"' } : {};
  answer.writeHead(response.statusCode ?? 500, { ...response.headers, ...changed });
  await pipeline(response, answer);
}

async function* passing(source: AsyncIterable<Buffer>): AsyncGenerator<Buffer> {
  yield* source;
}

async function* flipping(source: AsyncIterable<Buffer>): AsyncGenerator<Buffer> {
  let done = false;
  for await (const chunk of source) {
    const copy = Buffer.from(chunk);
    if (!done && copy.length > 0) {
      copy[0] = (copy[0] ?? 0) ^ 0x01;
      done = true;
    }
    yield copy;
  }
}
