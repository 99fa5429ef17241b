/** Memory for the parts of uploads, used again and again: garbage of 5 MiB each would pile up faster than it is collected (promise P14). */

/** What may lie idle: the parts of one publication of six blobs. */
const mostIdleBytes = 64 * 1024 * 1024;

export interface PartBuffers {
  /** A buffer of just this length; its content is whatever was there. */
  take(bytes: number): Buffer;
  /** Nobody reads it any more. */
  give(buffer: Buffer): void;
}

export function createPartBuffers(): PartBuffers {
  let idle: Buffer[] = [];
  return {
    take: (bytes) => {
      const fitting = idle.find((buffer) => buffer.length === bytes);
      if (fitting === undefined) return Buffer.allocUnsafeSlow(bytes);
      idle = idle.filter((buffer) => buffer !== fitting);
      return fitting;
    },
    give: (buffer) => {
      const idleBytes = idle.reduce((sum, { length }) => sum + length, buffer.length);
      if (idleBytes <= mostIdleBytes) idle.push(buffer);
    },
  };
}
