/** JSON logs, one line an event; credentials and signed URLs never reach them (promise P18). */
import { pino, type DestinationStream, type Logger } from 'pino';

export type Log = Logger;

/** Nothing to remove where neither is there. */
const suspicious = /[=@]/;
const signature = /([?&](?:X-Amz-[\w-]+|signature|token|expires)=)[^&\s"]+/gi;
const credentials = /\/\/([^/\s:@]+):[^@\s/]+@/g;

/** Remove what could be replayed from a text: signatures in query strings, passwords in URLs. */
export function redact(text: string): string {
  if (!suspicious.test(text)) return text;
  return text.replaceAll(signature, '$1[secret]').replaceAll(credentials, '//$1:[secret]@');
}

export function createLog(level: string, destination: DestinationStream = process.stderr): Log {
  return pino(
    {
      level,
      base: null,
      timestamp: pino.stdTimeFunctions.isoTime,
      formatters: { level: (label) => ({ level: label }) },
      redact: {
        paths: ['*.authorization', '*.cookie', '*.password', '*.secret', '*.token'],
        censor: '[secret]',
      },
      serializers: {
        err: (error: unknown) =>
          error instanceof Error
            ? {
                type: error.name,
                message: redact(error.message),
                code: (error as { code?: unknown }).code,
                stack: redact(error.stack ?? ''),
              }
            : redact(String(error)),
      },
    },
    destination,
  );
}

/** For lines on a hot path whose fields hold no secrets by name: looking for such names costs as much as the line. */
export function withoutRedaction(log: Log): Log {
  return log.child({}, { redact: [] });
}

/** Lines are written together, at the latest after this many milliseconds, and before the process ends by itself. */
const longestWait = 100;
const linesTogetherBytes = 4096;
/** Where whoever reads the lines has stopped, what comes beyond this is dropped: the service goes on. */
const unreadBytes = 16 * 1024 * 1024;

/** Standard error of a service: a write for each line would cost more than a redirect does. */
export function standardError(): DestinationStream {
  return pino.destination({
    dest: 2,
    sync: false,
    minLength: linesTogetherBytes,
    maxLength: unreadBytes,
    periodicFlush: longestWait,
  });
}
