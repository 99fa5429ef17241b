/**
 * The listening socket: limits on slow and idle clients, and an end in two phases (promises P13, P20).
 *
 * Kept connections live longer than nginx keeps its own (60 s), so that no request meets a closing one.
 */
import { createServer, type Server } from 'node:http';
import type { AddressInfo } from 'node:net';
import type Koa from 'koa';

export interface HttpServer {
  readonly port: number;
  /** Accept nothing new, let answers under way end; resolves when the last connection is closed. */
  drain(): Promise<void>;
  /** Break off what is left. */
  cut(): void;
}

export async function listen(app: Koa, host: string, port: number): Promise<HttpServer> {
  const server: Server = createServer(
    { keepAliveTimeout: 75_000, headersTimeout: 20_000, requestTimeout: 60_000, maxHeaderSize: 65_536 },
    app.callback(),
  );
  const { promise, resolve, reject } = Promise.withResolvers<void>();
  server.once('error', reject);
  server.listen(port, host, resolve);
  await promise;
  server.removeListener('error', reject);
  return {
    port: (server.address() as AddressInfo).port,
    drain: () =>
      new Promise((closed) => {
        server.close(() => closed());
        server.closeIdleConnections();
      }),
    cut: () => server.closeAllConnections(),
  };
}
