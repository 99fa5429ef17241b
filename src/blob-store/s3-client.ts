/**
 * The SDK's clients for one S3 endpoint, with deadlines, so that a dead endpoint fails in bounded time (promise P21,
 * outages stay bounded).
 *
 * There are two: a paused download is not a dead link, so the client for downloads has no socket deadline. The code that
 * reads a download (`s3.ts`) has its own deadline, which counts only while it waits for bytes.
 */
import { Agent as HttpAgent } from 'node:http';
import { Agent as HttpsAgent } from 'node:https';
import { S3Client, type S3ClientConfig } from '@aws-sdk/client-s3';
import type { Environment } from '../config/config.ts';

interface S3ClientOptions {
  readonly environment?: Environment;
  readonly idleSeconds: number;
  readonly connectSeconds: number;
}

export interface S3Clients {
  readonly client: S3Client;
  /** For downloads. */
  readonly downloads: S3Client;
}

const socketsEach = 64;
const contentDigest = 'x-amz-content-sha256';

export function createS3Clients(options: S3ClientOptions): S3Clients {
  const shared = settingsOf(options.environment ?? {});
  const create = (socketTimeout: number): S3Client => {
    const client = new S3Client({
      ...shared,
      maxAttempts: 3,
      requestHandler: {
        connectionTimeout: options.connectSeconds * 1000,
        socketTimeout,
        httpAgent: new HttpAgent({ keepAlive: true, maxSockets: socketsEach }),
        httpsAgent: new HttpsAgent({ keepAlive: true, maxSockets: socketsEach }),
      },
    });
    signPartsByChecksum(client);
    return client;
  };
  return { client: create(options.idleSeconds * 1000), downloads: create(0) };
}

/**
 * The signature of a part covers its CRC32 instead of a SHA-256 of its bytes: that would be a second SHA-256 besides the
 * blob's own (S3 API, "Signature calculations", `UNSIGNED-PAYLOAD`). Without checksums the bytes stay signed.
 */
function signPartsByChecksum(client: S3Client): void {
  client.middlewareStack.add(
    (next, { commandName }) =>
      async (args) => {
        const { headers } = args.request as { headers: Record<string, string> };
        const isChecked = (await client.config.requestChecksumCalculation()) === 'WHEN_SUPPORTED';
        if (commandName === 'UploadPartCommand' && isChecked) headers[contentDigest] = 'UNSIGNED-PAYLOAD';
        return next(args);
      },
    { step: 'build', name: 'signPartsByChecksum' },
  );
}

/** The settings in the given variables; what is not set there, the SDK looks up by its own rules (roles, profiles). */
function settingsOf(environment: Environment): S3ClientConfig {
  const endpoint = environment['AWS_ENDPOINT_URL_S3'] || environment['AWS_ENDPOINT_URL'];
  const region =
    environment['AWS_REGION'] || environment['AWS_DEFAULT_REGION'] || (endpoint ? 'us-east-1' : undefined);
  const accessKeyId = environment['AWS_ACCESS_KEY_ID'];
  const secretAccessKey = environment['AWS_SECRET_ACCESS_KEY'];
  const sessionToken = environment['AWS_SESSION_TOKEN'];
  const checksums = environment['AWS_REQUEST_CHECKSUM_CALCULATION']?.toUpperCase();
  const validation = environment['AWS_RESPONSE_CHECKSUM_VALIDATION']?.toUpperCase();
  return {
    ...(endpoint ? { endpoint, forcePathStyle: !isAmazon(endpoint) } : {}),
    ...(region ? { region } : {}),
    ...(accessKeyId && secretAccessKey
      ? { credentials: { accessKeyId, secretAccessKey, ...(sessionToken ? { sessionToken } : {}) } }
      : {}),
    ...(isChecksumRule(checksums) ? { requestChecksumCalculation: checksums } : {}),
    ...(isChecksumRule(validation) ? { responseChecksumValidation: validation } : {}),
  };
}

type ChecksumRule = 'WHEN_REQUIRED' | 'WHEN_SUPPORTED';

function isChecksumRule(text: string | undefined): text is ChecksumRule {
  return text === 'WHEN_REQUIRED' || text === 'WHEN_SUPPORTED';
}

/** Amazon's own endpoints take the bucket as host name; nearly all others need it in the path. */
function isAmazon(endpoint: string): boolean {
  return URL.canParse(endpoint) && /\.amazonaws\.com(\.cn)?$/.test(new URL(endpoint).hostname);
}
