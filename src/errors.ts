/**
 * The catalogue of errors: a stable code, its HTTP status and exit code, one plain line for the reader, and the cause.
 *
 * Expected outcomes (not fresh, not allowed, gone) are values, not errors; everything thrown is one of these.
 */

const catalogue = {
  CONFIGURATION: { status: 500, exitCode: 78 },
  BAD_PARAMETER: { status: 400, exitCode: 64 },
  NOT_FOUND: { status: 404, exitCode: 1 },
  CKAN_UNAVAILABLE: { status: 503, exitCode: 1 },
  POSTGRES_UNAVAILABLE: { status: 503, exitCode: 1 },
  BLOB_STORE_UNAVAILABLE: { status: 503, exitCode: 1 },
  STATE_UNAVAILABLE: { status: 503, exitCode: 1 },
  COPY_BROKEN: { status: 500, exitCode: 1 },
  COPY_STALLED: { status: 500, exitCode: 1 },
  CELL_TOO_LARGE: { status: 500, exitCode: 1 },
  BLOB_CORRUPT: { status: 500, exitCode: 1 },
  TABLE_BUSY: { status: 503, exitCode: 1 },
  SUPERSEDED: { status: 500, exitCode: 1 },
  MANIFEST_INVALID: { status: 500, exitCode: 1 },
  ABORTED: { status: 503, exitCode: 1 },
} as const satisfies Record<string, { status: number; exitCode: number }>;

type ErrorCode = keyof typeof catalogue;

export class DumperError extends Error {
  readonly code: ErrorCode;
  /** The HTTP status this error becomes at the edge. */
  readonly status: number;
  /** The exit code this error becomes on the command line (sysexits.h). */
  readonly exitCode: number;

  constructor(code: ErrorCode, message: string, options?: ErrorOptions) {
    super(message, options);
    this.name = 'DumperError';
    this.code = code;
    this.status = catalogue[code].status;
    this.exitCode = catalogue[code].exitCode;
  }
}

export function isDumperError(error: unknown, code?: ErrorCode): error is DumperError {
  return error instanceof DumperError && (code === undefined || error.code === code);
}

/** Any thrown value as one line, for logs and status; never a stack. */
export function errorMessage(error: unknown): string {
  if (error instanceof AggregateError && error.errors.length > 0) return errorMessage(error.errors[0]);
  const text = error instanceof Error ? error.message || error.name : String(error);
  return text.replaceAll(/\s+/g, ' ').slice(0, 500);
}
