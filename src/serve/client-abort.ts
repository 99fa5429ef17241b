/**
 * The two ways in which an answer ends early: the client leaves, or we break it off.
 *
 * Breaking off resets the socket: an HTTP/1.0 client (nginx talks to upstreams so by default) takes an orderly close for
 * the end of the body (promises P12 and P19).
 */
import type { IncomingMessage, ServerResponse } from 'node:http';

/** Aborts when the connection is gone before the answer was handed over. */
export function clientAbortSignal(response: ServerResponse): AbortSignal {
  const controller = new AbortController();
  response.once('close', () => {
    if (!response.writableFinished) controller.abort(new Error('the client left'));
  });
  if (response.destroyed) controller.abort(new Error('the client left'));
  return controller.signal;
}

export function resetSocket(request: IncomingMessage): void {
  request.socket.resetAndDestroy();
}
