/** The floor of every reader: bytes are counted, messages are stepped over, nothing is looked at. */

/** Steps over CopyData messages without reading them; returns the rest from the first other message on. */
export function messageSkimmer(onBytes: (length: number) => void): (chunk: Uint8Array) => Uint8Array | null {
  let skip = 0;
  let head = Buffer.alloc(0);
  return (chunk) => {
    onBytes(chunk.length);
    let buffer =
      head.length > 0
        ? Buffer.concat([head, chunk])
        : Buffer.from(chunk.buffer, chunk.byteOffset, chunk.length);
    head = Buffer.alloc(0);
    for (let at = 0; ;) {
      const step = Math.min(skip, buffer.length - at);
      at += step;
      skip -= step;
      if (skip > 0) return null;
      if (buffer.length - at < 5) {
        head = Buffer.from(buffer.subarray(at));
        return null;
      }
      const code = buffer[at];
      if (code !== 0x64 && code !== 0x48 && code !== 0x4e && code !== 0x53) return buffer.subarray(at);
      skip = buffer.readUInt32BE(at + 1) + 1;
    }
  };
}
