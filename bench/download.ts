/** The reader of a live answer. */
import { connect } from 'node:net';

/** A client that only counts, so that its own cost does not drown the service's; a chunked body must end whole. */
export async function download(url: string): Promise<{ bytes: number; firstByteSeconds: number }> {
  const { hostname, port, pathname, search } = new URL(url);
  const started = performance.now();
  const buffer = Buffer.alloc(256 * 1024);
  let bytes = 0;
  let firstByteSeconds = 0;
  let head = '';
  let tail = Buffer.alloc(0);
  const { promise, resolve, reject } = Promise.withResolvers<void>();
  const socket = connect({
    host: hostname,
    port: Number(port),
    onread: {
      buffer,
      callback: (length) => {
        if (bytes === 0) head = buffer.toString('latin1', 0, Math.min(length, 12));
        if (bytes === 0) firstByteSeconds = (performance.now() - started) / 1000;
        bytes += length;
        if (length >= 5) tail = Buffer.from(buffer.subarray(length - 5, length));
        return true;
      },
    },
  });
  socket.on('end', resolve).on('error', reject);
  socket.write(`GET ${pathname}${search} HTTP/1.1\r\nHost: ${hostname}\r\nConnection: close\r\n\r\n`);
  await promise;
  if (head !== 'HTTP/1.1 200' || tail.toString() !== '0\r\n\r\n')
    throw new Error(`${url}: ${head}, cut short`);
  return { bytes, firstByteSeconds };
}
