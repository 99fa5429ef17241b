/**
 * S3's errors as this service says them: what is meant by them, and one plain reason without credentials, signatures
 * or addresses that could be replayed (promise P18).
 */
import { DumperError, isDumperError, errorMessage } from '../errors.ts';
import { redact } from '../log.ts';

interface SdkFault {
  readonly name: string;
  readonly status: number | undefined;
  readonly attempts: number;
}

export function toStoreError(error: unknown): SdkFault {
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
 * No such object or upload. Told by name only: a missing bucket, or an unknown access key on some servers, is a 404
 * too, and must never look like an object that is absent.
 */
export function isAbsent(error: unknown): boolean {
  return ['NoSuchKey', 'NotFound', 'NoSuchUpload'].includes(toStoreError(error).name);
}

/** A conditional write that lost: 412, or 409 while two were under way (S3 API, PutObject, "Errors"). */
export function isLostCondition(error: unknown): boolean {
  const { name, status } = toStoreError(error);
  return name === 'PreconditionFailed' || name === 'ConditionalRequestConflict' || status === 412;
}

/** A store that has no conditional writes says so with 501. */
export function isNotImplemented(error: unknown): boolean {
  const { name, status } = toStoreError(error);
  return name === 'NotImplemented' || status === 501;
}

/** The catalogue's error for whatever the SDK threw. */
export function unavailable(error: unknown, bucket: string): DumperError {
  if (isDumperError(error)) return error;
  const reason = reasonFor(error, bucket);
  // the SDK's own error holds the request with its signature: keep name and message only
  const cause = new Error(`${toStoreError(error).name}: ${redact(errorMessage(error))}`);
  return new DumperError('BLOB_STORE_UNAVAILABLE', `the blob store cannot be used: ${reason}`, { cause });
}

function reasonFor(error: unknown, bucket: string): string {
  const { name, status } = toStoreError(error);
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
