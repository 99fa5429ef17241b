/**
 * The socket of a connection to Postgres: it reads into one buffer again and again, so that a COPY of any size leaves
 * no garbage of 64 KiB a read (promise P14), and takes more at a time than Node's streams would.
 *
 * The driver keeps what it is given, so it gets copies; who taps the socket reads the buffer itself. A connection with
 * TLS has a socket of Node's own, whose reads are handed to the tap as they are.
 */
import { Socket } from 'node:net';

/** What one system call may bring: more than Postgres's send buffer ever holds makes fewer and larger reads. */
const readBytes = 256 * 1024;

/** Takes bytes that are valid during the call only. */
export type Tap = (bytes: Uint8Array) => void;

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
 * Give all that is read from now on to `tap` instead of the driver; returns what ends it. Then the driver reads on, its
 * first bytes being `rest`.
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
