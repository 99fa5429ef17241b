/**
 * The signed question by which `doctor --front` learns what the portal's web server makes of a request: it is sent to the
 * dump's address, and the service says what reached it. Only who has a secret of the service can ask it (P15, nothing
 * forged is acted on), and an answer tells nothing but the asker's own request.
 */
import { createHmac, timingSafeEqual } from 'node:crypto';
import type { Config } from './config/config.ts';

export const probeHeader = 'X-Dumper-Probe';
export const probeSeenHeader = 'X-Dumper-Probe-Seen';

/**
 * `seen`: say what reached you. `fallback`: refuse, as if CKAN could do better. `long`: answer with
 * `longBytes` that cannot be compressed, then with the milliseconds that it took to hand them over.
 */
export type FrontProbe = 'seen' | 'fallback' | 'long';

/** More than sockets keep on their way. */
export const longBytes = 32 * 1024 * 1024;
/** Farthest that a probe's time may be from ours. */
const lifeSeconds = 60;

type Secrets = Pick<Config, 'DUMPER_NOTICE_SECRET' | 'DUMPER_ADMIN_TOKEN'>;

/** The header of a probe; null where the settings have no secret to sign it by. */
export function signFrontProbe(config: Secrets, probe: FrontProbe, now: Date): string | null {
  const [secret] = secretsOf(config);
  if (secret === undefined) return null;
  const seconds = String(Math.floor(now.getTime() / 1000));
  return `${probe}.${seconds}.${signatureOf(secret, probe, seconds).toString('hex')}`;
}

/** Which probe a request's header is; null where it is none, or not signed by one of our secrets, or too old. */
export function verifyFrontProbe(config: Secrets, header: string, now: Date): FrontProbe | null {
  const [match, probe, seconds = '', given = ''] =
    /^(seen|fallback|long)\.(\d{1,12})\.([0-9a-f]{64})$/.exec(header) ?? [];
  if (match === undefined || Math.abs(now.getTime() / 1000 - Number(seconds)) > lifeSeconds) return null;
  const isSigned = secretsOf(config).some((secret) =>
    timingSafeEqual(signatureOf(secret, probe ?? '', seconds), Buffer.from(given, 'hex')),
  );
  return isSigned ? (probe as FrontProbe) : null;
}

function secretsOf({ DUMPER_NOTICE_SECRET: notices, DUMPER_ADMIN_TOKEN: admin }: Secrets): string[] {
  return [notices, admin].filter((secret) => secret !== undefined);
}

function signatureOf(secret: string, probe: string, seconds: string): Buffer {
  return createHmac('sha256', secret).update(`dumper-front-probe-1\n${probe}\n${seconds}`).digest();
}
