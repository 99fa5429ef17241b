/** JSON logs, one line per event; they never hold credentials or signed URLs (promise P18, secrets never print). */
import { pino, type DestinationStream, type Logger } from 'pino';

export type Log = Logger;

/** A text with neither character holds nothing to remove. */
const suspicious = /[=@]/;
const signature = /([?&](?:X-Amz-[\w-]+|signature|token|expires)=)[^&\s"]+/gi;
const credentials = /\/\/([^/\s:@]+):[^@\s/]+@/g;

/** Remove from a text what could be replayed: signatures in query strings, passwords in URLs. */
export function redact(text: string): string {
  if (!suspicious.test(text)) return text;
  return text.replaceAll(signature, '$1[secret]').replaceAll(credentials, '//$1:[secret]@');
}

export function createLog(level: string, destination: DestinationStream = process.stderr): Log {
  return pino(
    {
      level,
      base: null,
      timestamp: createClock(),
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

/** The time field of a line; lines of the same millisecond share its text. */
function createClock(): () => string {
  let [at, text] = [Number.NaN, ''];
  return () => {
    const now = Date.now();
    if (now !== at) [at, text] = [now, `,"time":"${new Date(now).toISOString()}"`];
    return text;
  };
}

/** For lines on a hot path that have no field with a secret's name: the search for such names costs as much as the line. */
export function withoutRedaction(log: Log): Log {
  return log.child({}, { redact: [] });
}

/** Lines are written together, at the latest after this many milliseconds, and before the process ends by itself. */
const longestWaitMs = 100;
const bytesTogether = 65_536;
/** A UTF-16 unit never takes more bytes in UTF-8. */
const mostBytesPerUnit = 3;
/** If the reader of the lines has stopped, lines beyond this are dropped: the service continues. */
const unreadBytes = 16 * 1024 * 1024;

/**
 * Standard error of a service. One write per line would cost more than a redirect; keeping strings and encoding them
 * later would cost a fifth of one. So each line becomes bytes at once.
 */
export function standardError(): DestinationStream {
  const options = { dest: 2, sync: false, maxLength: unreadBytes, contentMode: 'buffer' } as const;
  // Its types allow only text; `contentMode` makes it take only bytes.
  const file = pino.destination(options) as unknown as { write(bytes: Uint8Array): boolean };
  let lines = Buffer.allocUnsafeSlow(bytesTogether);
  let used = 0;
  const writeOut = (): void => {
    if (used === 0) return;
    file.write(lines.subarray(0, used));
    [lines, used] = [Buffer.allocUnsafeSlow(bytesTogether), 0];
  };
  setInterval(writeOut, longestWaitMs).unref();
  // Before the file's own listeners, which then write everything out.
  process.prependListener('beforeExit', writeOut).prependListener('exit', writeOut);
  return {
    write: (line) => {
      const most = line.length * mostBytesPerUnit;
      if (used + most > bytesTogether) writeOut();
      if (most > bytesTogether) file.write(Buffer.from(line));
      else used += lines.write(line, used);
    },
  };
}
