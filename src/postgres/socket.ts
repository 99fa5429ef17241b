/**
 * The socket of a connection to Postgres. It reads into the same buffer again and again, so that a COPY of any size leaves
 * no garbage of 64 KiB per read (promise P14, flat memory), and it reads more at a time than Node's streams would.
 *
 * The driver keeps the bytes that it gets, so it gets copies; a tap gets the buffer itself. A connection with TLS has a
 * socket of Node's own, whose reads go to the tap as they are.
 */
import { Socket } from 'node:net';

/** The most that one system call reads: more than Postgres's send buffer holds, for fewer and larger reads. */
const readBytes = 256 * 1024;

/** Takes bytes that are valid only during the call. */
type Tap = (bytes: Uint8Array) => void;

const taps = new WeakMap<Socket, { tap: Tap | null }>();

/** What `pg` calls to get a connection's socket (pg 8, `lib/connection.js`). */
export function createSocket({ ssl }: { readonly ssl: unknown }): Socket {
  if (ssl) return new Socket();
  const reader: { tap: Tap | null } = { tap: null };
  const buffer = Buffer.allocUnsafeSlow(readBytes);
  const socket: Socket = new Socket({
    onread: {
      buffer,
      callback: (length) => {
        const bytes = buffer.subarray(0, length);
        if (reader.tap === null) socket.emit('data', Buffer.from(bytes));
        else reader.tap(bytes);
        return true;
      },
    },
  } as ConstructorParameters<typeof Socket>[0]);
  taps.set(socket, reader);
  return socket;
}

/**
 * From now on give everything that is read to `tap` instead of the driver. The returned function ends this: then the
 * driver reads again, beginning with `rest`.
 */
export function tapSocket(socket: Socket, tap: Tap): (rest: Uint8Array) => void {
  const drivers = socket.listeners('data') as ((chunk: Buffer) => void)[];
  const reader = taps.get(socket);
  if (reader !== undefined) reader.tap = tap;
  else socket.removeAllListeners('data').on('data', tap);
  return (rest) => {
    if (reader !== undefined) reader.tap = null;
    else socket.removeListener('data', tap);
    // A copy: the driver reads it later than the tap reuses its memory.
    const bytes = Buffer.from(rest);
    for (const driver of drivers) {
      if (reader === undefined) socket.on('data', driver);
      driver.call(socket, bytes);
    }
  };
}
