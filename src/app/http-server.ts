/**
 * The listening socket and its end: no new requests, answers that were begun get their grace, then they are reset, so
 * that no client takes a short body for a whole one (P19: a break is visible; P20: SIGTERM drains).
 */
import http from 'node:http';
import type { AddressInfo } from 'node:net';
import { DumperError, errorMessage } from '../errors.ts';

interface HttpServer {
  readonly port: number;
  /** Drain for at most `graceSeconds`; `onGraceOver` then breaks off what is left. */
  drain(graceSeconds: number, onGraceOver: () => void): Promise<void>;
}

export async function listenHttp(
  handler: http.RequestListener,
  { host, port }: { readonly host: string; readonly port: number },
): Promise<HttpServer> {
  // Longer than a proxy keeps its idle connections, so that the proxy closes them.
  const server = http.createServer({
    keepAliveTimeout: 75_000,
    headersTimeout: 20_000,
    requestTimeout: 60_000,
    // filters and fields travel in the address
    maxHeaderSize: 65_536,
  });
  server.on('request', handler);
  const { promise, resolve, reject } = Promise.withResolvers<void>();
  server.once('error', reject);
  server.listen(port, host, resolve);
  try {
    await promise;
  } catch (error) {
    throw new DumperError(
      'CONFIGURATION',
      `DUMPER_PORT: cannot listen on ${host}:${port}: ${errorMessage(error)}`,
      {
        cause: error,
      },
    );
  }
  return {
    port: (server.address() as AddressInfo).port,
    drain: (graceSeconds, onGraceOver) => drain(server, graceSeconds, onGraceOver),
  };
}

async function drain(server: http.Server, graceSeconds: number, onGraceOver: () => void): Promise<void> {
  const closed = new Promise<void>((resolve) => {
    server.close(() => resolve());
  });
  server.closeIdleConnections();
  const idle = setInterval(() => server.closeIdleConnections(), 100);
  const grace = setTimeout(onGraceOver, graceSeconds * 1000);
  // A connection whose peer reads nothing does not end by itself.
  const last = setTimeout(() => server.closeAllConnections(), graceSeconds * 1000 + 2000);
  try {
    await closed;
  } finally {
    clearInterval(idle);
    clearTimeout(grace);
    clearTimeout(last);
  }
}
