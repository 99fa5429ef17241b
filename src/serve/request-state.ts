/** One request on its way through Koa, and what becomes known of it: its log line, its metrics and its span say it. */
import type { ParameterizedContext } from 'koa';
import type { Format } from '../format.ts';

export interface RequestState {
  /** Set for the dump route alone, which has metrics and error texts of its own. */
  route?: 'dump';
  format?: Format | undefined;
  /** Of the body, where the dump and blob routes sent one. */
  bytes?: number | undefined;
  /** What broke the body off. */
  broken?: 'client' | 'stall' | 'postgres' | 'store' | undefined;
  /** Of a failure, for the log. */
  reason?: string | undefined;
}

/** A request and its answer on their way through Koa. */
export type ServeContext = ParameterizedContext<RequestState>;
