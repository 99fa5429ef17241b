/**
 * S3's errors as the catalogue's: what they mean, and one plain reason without credentials, signatures or addresses that
 * could be replayed (promise P18, secrets never print).
 */
import { DumperError, isDumperError, errorMessage } from '../errors.ts';
import { redact } from '../log.ts';

interface SdkError {
  readonly name: string;
  readonly status: number | undefined;
  readonly attempts: number;
}

/** What the SDK tells of a failed request. */
export function readSdkError(error: unknown): SdkError {
  const { name, $metadata } = error as {
    name?: unknown;
    $metadata?: { httpStatusCode?: number; attempts?: number };
  };
  return {
    name: typeof name === 'string' ? name : 'Error',
    status: $metadata?.httpStatusCode,
    attempts: $metadata?.attempts ?? 1,
  };
}

/**
 * No such object or upload. The name alone decides: a missing bucket, or an unknown access key on some servers, is a 404
 * too, and must never look like an object that is absent.
 */
export function isAbsent(error: unknown): boolean {
  return ['NoSuchKey', 'NotFound', 'NoSuchUpload'].includes(readSdkError(error).name);
}

/** A conditional write that lost: 412, or 409 when two ran at once (S3 API, PutObject, "Errors"). */
export function isLostCondition(error: unknown): boolean {
  const { name, status } = readSdkError(error);
  return name === 'PreconditionFailed' || name === 'ConditionalRequestConflict' || status === 412;
}

/** A store that has no conditional writes answers 501. */
export function isNotImplemented(error: unknown): boolean {
  const { name, status } = readSdkError(error);
  return name === 'NotImplemented' || status === 501;
}

/** The catalogue's error for whatever the SDK threw. */
export function s3Error(error: unknown, bucket: string): DumperError {
  if (isDumperError(error)) return error;
  const reason = reasonFor(error, bucket);
  // The SDK's own error holds the request with its signature: keep name and message only.
  const cause = new Error(`${readSdkError(error).name}: ${redact(errorMessage(error))}`);
  return new DumperError('BLOB_STORE_UNAVAILABLE', `the blob store cannot be used: ${reason}`, { cause });
}

function reasonFor(error: unknown, bucket: string): string {
  const { name, status } = readSdkError(error);
  switch (name) {
    case 'NoSuchBucket':
      return `bucket "${bucket}" does not exist`;
    case 'InvalidAccessKeyId':
    case 'SignatureDoesNotMatch':
    case 'InvalidToken':
    case 'ExpiredToken':
      return `the credentials were refused (${name})`;
    case 'AccessDenied':
    case 'Forbidden':
    case '403':
      return `access to bucket "${bucket}" is denied`;
    case 'CredentialsProviderError':
      return 'no credentials: set AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY, or run under a role';
    case 'AbortError':
    case 'TimeoutError':
      return 'no answer in time';
    default:
      return `${redact(errorMessage(error))}${status === undefined ? '' : ` (status ${status})`}`;
  }
}

/** Run `work`; what the SDK throws becomes the catalogue's error. */
export async function mapS3Errors<Answer>(bucket: string, work: () => Promise<Answer>): Promise<Answer> {
  try {
    return await work();
  } catch (error) {
    throw s3Error(error, bucket);
  }
}

/** Null where there is no such object. */
export async function nullIfAbsent<Answer>(work: Promise<Answer>): Promise<Answer | null> {
  try {
    return await work;
  } catch (error) {
    if (isAbsent(error)) return null;
    throw error;
  }
}
