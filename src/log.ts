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

/** Lines of one millisecond share their text of it. */
function createClock(): () => string {
  let [at, text] = [Number.NaN, ''];
  return () => {
    const now = Date.now();
    if (now !== at) [at, text] = [now, `,"time":"${new Date(now).toISOString()}"`];
    return text;
  };
}

/** For lines on a hot path whose fields hold no secrets by name: looking for such names costs as much as the line. */
export function withoutRedaction(log: Log): Log {
  return log.child({}, { redact: [] });
}

/** Lines are written together, at the latest after this many milliseconds, and before the process ends by itself. */
const longestWait = 100;
const bytesTogether = 65_536;
/** No UTF-16 unit takes more in UTF-8. */
const mostBytesPerUnit = 3;
/** Where whoever reads the lines has stopped, what comes beyond this is dropped: the service goes on. */
const unreadBytes = 16 * 1024 * 1024;

/**
 * Standard error of a service. A write for each line would cost more than a redirect does, and strings that are gathered
 * and encoded later a fifth of one: each line becomes bytes at once.
 */
export function standardError(): DestinationStream {
  const options = { dest: 2, sync: false, maxLength: unreadBytes, contentMode: 'buffer' } as const;
  // By its types it takes text alone; by `contentMode` bytes alone.
  const file = pino.destination(options) as unknown as { write(bytes: Uint8Array): boolean };
  let lines = Buffer.allocUnsafeSlow(bytesTogether);
  let used = 0;
  const pass = (): void => {
    if (used === 0) return;
    file.write(lines.subarray(0, used));
    [lines, used] = [Buffer.allocUnsafeSlow(bytesTogether), 0];
  };
  setInterval(pass, longestWait).unref();
  // Before the file's own listeners, which then write it all.
  process.prependListener('beforeExit', pass).prependListener('exit', pass);
  return {
    write: (line) => {
      const most = line.length * mostBytesPerUnit;
      if (used + most > bytesTogether) pass();
      if (most > bytesTogether) file.write(Buffer.from(line));
      else used += lines.write(line, used);
    },
  };
}
