/**
 * A notice from outside that tables may have changed: who may send one, and which tables are meant (P15: a forged,
 * stale, replayed or oversized notice changes nothing).
 *
 * A notice is only a hint: nothing in it is trusted or fetched, and names are looked up before they cost anything. The
 * route, `serve/webhook.ts`, bounds the body and hands it over.
 */
import { createHmac, timingSafeEqual } from 'node:crypto';
import { parseResourceId } from '../postgres/table.ts';

/** Most tables that one notice may name. */
export const webhookMaxTables = 1000;
/** How far the sender's clock may be from ours, in seconds, either way. */
const webhookSkewSeconds = 300;

export type WebhookResult =
  | { readonly kind: 'accepted'; readonly names: readonly string[] }
  /** The same signed notice came before; its tables were queued then. */
  | { readonly kind: 'replayed' }
  | { readonly kind: 'refused'; readonly status: 400 | 401 | 413; readonly reason: string };

export interface WebhookRequest {
  /** `X-Dumper-Timestamp` and `X-Dumper-Signature`, as they came. */
  readonly timestamp: string | readonly string[] | undefined;
  readonly signature: string | readonly string[] | undefined;
  /** The raw bytes of the body. */
  readonly body: Uint8Array;
}

/** Remembers signatures for as long as they could be replayed. */
interface ReplayGuard {
  /** True the first time. */
  first(signature: string, now: Date): boolean;
}

export type WebhookReceived = (request: WebhookRequest) => Promise<WebhookResult>;

/** Verify notices signed with `secret`; the tables that one names are queued when its answer resolves. */
export function createWebhookReceiver(
  secret: string,
  now: () => Date,
  enqueueByName: (names: readonly string[]) => Promise<void>,
): WebhookReceived {
  const guard = createReplayGuard();
  return async function receiveWebhook(request) {
    const result = verifyWebhook(request, secret, now(), guard);
    if (result.kind === 'accepted') await enqueueByName(result.names);
    return result;
  };
}

/** Keeps at most `most` signatures; the oldest go first, and a notice replayed after that is a harmless hint again. */
export function createReplayGuard(most = 100_000): ReplayGuard {
  const until = new Map<string, number>();
  return {
    first: (signature, now) => {
      for (const [old, end] of until) {
        if (end > now.getTime() && until.size < most) break;
        until.delete(old);
      }
      if (until.has(signature)) return false;
      until.set(signature, now.getTime() + 2 * webhookSkewSeconds * 1000);
      return true;
    },
  };
}

/** Check a notice and say which tables it names. A wrong signature and a wrong time get the same answer. */
export function verifyWebhook(
  request: WebhookRequest,
  secret: string,
  now: Date,
  guard: ReplayGuard,
): WebhookResult {
  const signature = signedBy(request, secret, now);
  if (signature === null) return refused(401, 'the signature or its time is wrong');
  const names = namesIn(request.body);
  if (names === null) return refused(400, 'the body is no notice: expected JSON that names resources');
  if (names.size > webhookMaxTables) return refused(413, 'the notice names too many resources');
  return guard.first(signature, now) ? { kind: 'accepted', names: [...names] } : { kind: 'replayed' };
}

function refused(status: 400 | 401 | 413, reason: string): WebhookResult {
  return { kind: 'refused', status, reason };
}

/** The signature in hex when it is right and fresh. */
function signedBy({ timestamp, signature, body }: WebhookRequest, secret: string, now: Date): string | null {
  if (typeof timestamp !== 'string' || !/^\d{1,12}$/.test(timestamp)) return null;
  if (typeof signature !== 'string') return null;
  const hex = /^sha256=([0-9a-f]{64})$/i.exec(signature)?.[1];
  if (hex === undefined) return null;
  const right = timingSafeEqual(Buffer.from(hex, 'hex'), digest(timestamp, body, secret));
  const skew = Math.abs(now.getTime() / 1000 - Number(timestamp));
  return right && skew <= webhookSkewSeconds ? hex.toLowerCase() : null;
}

function digest(timestamp: string, body: Uint8Array, secret: string): Buffer {
  return createHmac('sha256', secret).update(`${timestamp}.`).update(body).digest();
}

function namesIn(body: Uint8Array): Set<string> | null {
  const names = new Set<string>();
  try {
    const text = new TextDecoder('utf-8', { fatal: true }).decode(body);
    return collect(JSON.parse(text), names, 4) ? names : null;
  } catch {
    return null;
  }
}

const resourceId = /^[0-9a-f]{8}-(?:[0-9a-f]{4}-){3}[0-9a-f]{12}$/i;

/** Collect the names of one value; false where it is no form of notice that we know. */
function collect(value: unknown, names: Set<string>, depth: number): boolean {
  if (depth === 0) return false;
  if (typeof value === 'string') return addName(value, names);
  if (Array.isArray(value)) return value.every((entry) => collect(entry, names, depth - 1));
  if (!isObject(value)) return false;
  if (value['Type'] === 'SubscriptionConfirmation' || value['Type'] === 'UnsubscribeConfirmation')
    return true;
  const forms = [ours, cloudEvent, s3Event, snsMessage];
  return forms.some((form) => form(value, names, depth));
}

type Form = (value: Record<string, unknown>, names: Set<string>, depth: number) => boolean;

/** `{"resource_id": "…"}`, or a list of ids under `resource_ids`. */
const ours: Form = (value, names, depth) => {
  const named = value['resource_id'] ?? value['resource_ids'];
  return named !== undefined && !isObject(named) && collect(named, names, depth - 1);
};

/** CloudEvents 1.0 in structured mode: the data, else the subject. */
const cloudEvent: Form = (value, names, depth) => {
  if (value['specversion'] === undefined) return false;
  if (isObject(value['data']) && collect(value['data'], names, depth - 1)) return true;
  return typeof value['subject'] === 'string' && addKey(value['subject'], names);
};

/** S3 and MinIO (`Records`), EventBridge (`detail.object.key`), R2 (`object.key`). */
const s3Event: Form = (value, names) => {
  const records = value['Records'];
  if (Array.isArray(records)) {
    return records.every((record) => {
      const key = at(record, 's3', 'object', 'key');
      return typeof key === 'string' && addKey(unquotePlus(key), names);
    });
  }
  if (value['Event'] === 's3:TestEvent') return true;
  const key = at(value, 'detail', 'object', 'key') ?? at(value, 'object', 'key');
  return typeof key === 'string' && addKey(key, names);
};

/** SNS wraps the event as text. */
const snsMessage: Form = (value, names, depth) => {
  if (value['Type'] !== 'Notification' || typeof value['Message'] !== 'string') return false;
  return collect(JSON.parse(value['Message']), names, depth - 1);
};

function addName(name: string, names: Set<string>): boolean {
  if (parseResourceId(name) === null) return false;
  names.add(name);
  return true;
}

/** The ids among the parts of an object's key, e.g. `resources/<id>/data.csv`; none is no fault. */
function addKey(key: string, names: Set<string>): boolean {
  for (const part of key.split('/')) if (resourceId.test(part)) names.add(part.toLowerCase());
  return true;
}

/** S3 events carry keys in form encoding. */
function unquotePlus(text: string): string {
  try {
    return decodeURIComponent(text.replaceAll('+', ' '));
  } catch {
    return text;
  }
}

function at(value: unknown, ...path: readonly string[]): unknown {
  return path.reduce<unknown>((inner, name) => (isObject(inner) ? inner[name] : undefined), value);
}

function isObject(value: unknown): value is Record<string, unknown> {
  return typeof value === 'object' && value !== null && !Array.isArray(value);
}
