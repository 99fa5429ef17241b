/**
 * Pipelined requests of one connection, one after the other (promise P13, slow clients exhaust nothing).
 *
 * HTTP/1.1 lets a client send many requests without waiting for answers (RFC 9112, section 9.3.2). Node parses all that
 * a read brings and would work on all of them at once, although the answers leave in order. Here the next one begins
 * when the answer before it has left, and a connection with too many unanswered requests is reset.
 */
import type { IncomingMessage, RequestListener, ServerResponse } from 'node:http';
import type { Socket } from 'node:net';

/** Requests of one connection that may wait while one is answered. Browsers and proxies send none. */
export const mostWaitingRequests = 32;

interface Connection {
  /** The response that is under way, or the last one. */
  current: ServerResponse;
  waiting: [IncomingMessage, ServerResponse][];
  /** The response whose end starts the next request. */
  chained: ServerResponse | null;
  refused: boolean;
}

/** `onRefused` hears of each connection that is reset. */
export function oneByOne(handler: RequestListener, onRefused: () => void): RequestListener {
  const connections = new WeakMap<Socket, Connection>();
  /** The next one begins when this answer has left. */
  const chain = (connection: Connection, response: ServerResponse): void => {
    if (connection.chained === response) return;
    connection.chained = response;
    response.once('close', () => runNext(connection));
  };
  const runNext = (connection: Connection): void => {
    const next = connection.waiting.shift();
    if (next === undefined || connection.refused) return;
    const [request, response] = next;
    if (response.destroyed || request.socket.destroyed) return;
    connection.current = response;
    chain(connection, response);
    handler(request, response);
  };
  return (request, response) => {
    const { socket } = request;
    const connection = connections.get(socket);
    if (connection === undefined) {
      connections.set(socket, { current: response, waiting: [], chained: null, refused: false });
      return handler(request, response);
    }
    const { current, waiting, refused } = connection;
    if (refused) return undefined;
    if (waiting.length === 0 && (current.writableFinished || current.destroyed)) {
      connection.current = response;
      return handler(request, response);
    }
    if (waiting.length >= mostWaitingRequests) {
      connection.refused = true;
      connection.waiting = [];
      onRefused();
      socket.resetAndDestroy();
      return undefined;
    }
    waiting.push([request, response]);
    chain(connection, current);
    return undefined;
  };
}
