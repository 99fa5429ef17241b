/** The lines of a log, kept for a test to read. */
import { Writable } from 'node:stream';

/** A stream to log into; its whole lines come to stand in `lines`. */
export function linesInto(lines: string[]): Writable {
  return new Writable({
    write: (chunk: Buffer, _encoding, done) => {
      lines.push(
        ...chunk
          .toString()
          .split('\n')
          .filter((line) => line !== ''),
      );
      done();
    },
  });
}
