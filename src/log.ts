/** JSON logs, one line an event; credentials and signed URLs never reach them (promise P18). */
import { pino, type Logger } from 'pino';

export type Log = Logger;

const signature = /([?&](?:X-Amz-[\w-]+|signature|token|expires)=)[^&\s"]+/gi;
const credentials = /\/\/([^/\s:@]+):[^@\s/]+@/g;

/** Remove what could be replayed from a text: signatures in query strings, passwords in URLs. */
export function redact(text: string): string {
  return text.replaceAll(signature, '$1[secret]').replaceAll(credentials, '//$1:[secret]@');
}

export function createLog(level: string, destination: NodeJS.WritableStream = process.stderr): Log {
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
