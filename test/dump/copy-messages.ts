/** What a Postgres backend sends in a COPY, made by hand (Postgres manual, "Message Formats"). */
import { line, type Cell } from './oracle-formatter.ts';

export function message(code: string, body: Uint8Array | string): Buffer {
  const bytes = Buffer.from(body);
  const header = Buffer.alloc(5);
  header.write(code, 'latin1');
  header.writeUInt32BE(bytes.length + 4, 1);
  return Buffer.concat([header, bytes]);
}

/** CopyOutResponse, a CopyData a row, CopyDone; NoticeResponse, ParameterStatus and a notification in between. */
export function copyMessages(rows: readonly (readonly Cell[])[]): Buffer {
  const chatter = [
    message('N', 'a word in between\0'),
    message('S', 'TimeZone\0UTC\0'),
    message('A', '\0\0\0\x01news\0\0'),
  ];
  const data = rows.flatMap((row, i) => [message('d', line(row, ',')), chatter[i] ?? Buffer.alloc(0)]);
  return Buffer.concat([message('H', '\0\0\0'), ...data, message('c', '')]);
}
