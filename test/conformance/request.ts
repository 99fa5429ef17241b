/** One request as recorded, byte for byte over a socket of its own, and the answer as it came. */
import { connect } from 'node:net';
import type { Case } from './corpus.ts';

export interface Answer {
  readonly status: number;
  readonly headers: ReadonlyMap<string, string>;
  readonly body: Buffer;
  /** The body ended as its framing said. */
  readonly complete: boolean;
}

export type Request = Pick<Case, 'method' | 'path' | 'request_headers' | 'request_body'>;

/** Send the case's request to `port`; `target` instead of its path where given. */
export async function send(
  port: number,
  asked: Request,
  token: string | undefined,
  target = asked.path,
): Promise<Answer> {
  const bytes = await exchange(port, Buffer.from(requestText(asked, token, target)));
  return parseAnswer(bytes, asked.method);
}

function requestText(asked: Request, token: string | undefined, target: string): string {
  const headers = asked.request_headers;
  const isOld = headers['@http'] === '1.0';
  const lines = [
    `${asked.method} ${target} HTTP/${isOld ? '1.0' : '1.1'}`,
    `Host: ${headers['@host'] ?? '127.0.0.1'}`,
  ];
  const credentials = headers['@auth'] ?? (token === undefined ? null : 'Authorization: {token}');
  if (credentials !== null) lines.push(credentials.replace('{token}', token ?? ''));
  for (const [name, value] of Object.entries(headers)) {
    if (!name.startsWith('@') && name.toLowerCase() !== 'connection') lines.push(`${name}: ${value}`);
  }
  const body = asked.request_body ?? '';
  if (body !== '') lines.push(`Content-Length: ${Buffer.byteLength(body)}`);
  return `${[...lines, 'Connection: close', '', ''].join('\r\n')}${body}`;
}

function exchange(port: number, request: Buffer): Promise<Buffer> {
  return new Promise((resolve, reject) => {
    const chunks: Buffer[] = [];
    const socket = connect(port, '127.0.0.1', () => socket.write(request));
    socket.on('data', (chunk: Buffer) => chunks.push(chunk));
    socket.on('end', () => resolve(Buffer.concat(chunks)));
    socket.on('error', reject);
    socket.setTimeout(60_000, () => socket.destroy(new Error('no answer in 60 s')));
  });
}

function parseAnswer(bytes: Buffer, method: string): Answer {
  const end = bytes.indexOf('\r\n\r\n');
  const [statusLine = '', ...lines] = bytes.subarray(0, end).toString('latin1').split('\r\n');
  const headers = new Map(
    lines.map((line) => [
      line.slice(0, line.indexOf(':')).toLowerCase(),
      line.slice(line.indexOf(':') + 1).trim(),
    ]),
  );
  const status = Number(statusLine.split(' ')[1]);
  const rest = bytes.subarray(end + 4);
  if (method === 'HEAD') return { status, headers, body: Buffer.alloc(0), complete: rest.length === 0 };
  if (headers.get('transfer-encoding') === 'chunked') return { status, headers, ...unchunked(rest) };
  const length = headers.get('content-length');
  return { status, headers, body: rest, complete: length === undefined || Number(length) === rest.length };
}

function unchunked(bytes: Buffer): { body: Buffer; complete: boolean } {
  const parts: Buffer[] = [];
  for (let at = 0; at < bytes.length;) {
    const lineEnd = bytes.indexOf('\r\n', at);
    const size = Number.parseInt(bytes.subarray(at, lineEnd).toString('latin1'), 16);
    if (size === 0) return { body: Buffer.concat(parts), complete: true };
    if (Number.isNaN(size)) break;
    parts.push(bytes.subarray(lineEnd + 2, lineEnd + 2 + size));
    at = lineEnd + 4 + size;
  }
  return { body: Buffer.concat(parts), complete: false };
}
