/** The headers of a notice, as whoever sends one makes them. */
import { createHmac } from 'node:crypto';

export function signWebhook(
  body: Uint8Array,
  secret: string,
  now: Date,
): { readonly timestamp: string; readonly signature: string } {
  const timestamp = String(Math.floor(now.getTime() / 1000));
  const digest = createHmac('sha256', secret).update(`${timestamp}.`).update(body).digest('hex');
  return { timestamp, signature: `sha256=${digest}` };
}
