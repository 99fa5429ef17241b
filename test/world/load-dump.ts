/**
 * Loads a plain `pg_dump` script, its `COPY … FROM stdin` blocks included, through the driver, so that the
 * tests need no psql.
 *
 * The script is cut where a line ends in ` FROM stdin;`: everything before it is one simple query, whose last
 * statement is the COPY; the lines up to `\.` are its data (Postgres manual, COPY, "Text Format").
 */
import { createReadStream } from 'node:fs';
import { readFile } from 'node:fs/promises';
import { once } from 'node:events';
import path from 'node:path';
import type { Writable } from 'node:stream';
import { createGunzip } from 'node:zlib';
import type { ClientBase, Submittable } from 'pg';
import { quoteIdentifier, type Sql } from '../../src/postgres/table.ts';

const batchBytes = 64 * 1024;
const newline = 0x0a;
const copyBegins = / FROM stdin;\n$/;
/** psql's own commands that newer pg_dump writes around a script. */
const psqlCommand = /^\\(un)?restrict /;

/**
 * Load a folder that holds `roles.sql` and `datastore.sql.gz` into the database that `client` (a superuser) is
 * connected to; everything comes to belong to `owner`. Ends with VACUUM ANALYZE.
 */
export async function loadDataStore(client: ClientBase, folder: string, owner: string): Promise<void> {
  const authorization: Sql = quoteIdentifier(owner);
  await client.query(await readFile(path.join(folder, 'roles.sql'), 'utf8'));
  await client.query(`SET SESSION AUTHORIZATION ${authorization}`);
  const file = createReadStream(path.join(folder, 'datastore.sql.gz'));
  const script = createGunzip();
  file.on('error', (error) => script.destroy(error));
  await Promise.all([feedInto(file, script), loadDump(client, script)]);
  await client.query('RESET SESSION AUTHORIZATION');
  await client.query('RESET ALL');
  await client.query('VACUUM ANALYZE');
}

/** Run a script of `pg_dump` (format plain). Rejects with Postgres's own error at the first statement that fails. */
export async function loadDump(client: ClientBase, script: AsyncIterable<Uint8Array>): Promise<void> {
  const lines = linesOf(script);
  let text = '';
  for (let next = await lines.next(); !next.done; next = await lines.next()) {
    const line = next.value.toString('utf8');
    if (psqlCommand.test(line)) continue;
    text += line;
    if (!copyBegins.test(line)) continue;
    await copyIn(client, text, copyDataOf(lines));
    text = '';
  }
  if (text.trim() !== '') await client.query(text);
}

async function feedInto(source: AsyncIterable<Uint8Array>, sink: Writable): Promise<void> {
  for await (const chunk of source) if (!sink.write(chunk)) await once(sink, 'drain');
  sink.end();
}

/** Whole lines with their line feed; only LF ends a line, since the data may hold any other separator. */
async function* linesOf(source: AsyncIterable<Uint8Array>): AsyncGenerator<Buffer> {
  let rest: Buffer = Buffer.alloc(0);
  for await (const chunk of source) {
    const bytes = Buffer.concat([rest, chunk]);
    let start = 0;
    for (let end = bytes.indexOf(newline); end !== -1; end = bytes.indexOf(newline, start)) {
      yield bytes.subarray(start, end + 1);
      start = end + 1;
    }
    rest = bytes.subarray(start);
  }
  if (rest.length > 0) yield rest;
}

async function* copyDataOf(lines: AsyncGenerator<Buffer>): AsyncGenerator<Buffer> {
  let batch: Buffer[] = [];
  let bytes = 0;
  for (let next = await lines.next(); !next.done; next = await lines.next()) {
    if (next.value.equals(endOfData)) break;
    batch.push(next.value);
    bytes += next.value.length;
    if (bytes < batchBytes) continue;
    yield Buffer.concat(batch);
    batch = [];
    bytes = 0;
  }
  yield Buffer.concat(batch);
}

const endOfData = Buffer.from('\\.\n');

/** What the driver's connection offers for COPY FROM STDIN beside its declared types. */
interface CopyConnection {
  readonly stream: Writable;
  query(text: string): void;
  sendCopyFromChunk(chunk: Uint8Array): void;
  endCopyFrom(): void;
  sendCopyFail(reason: string): void;
}

function copyIn(client: ClientBase, text: string, data: AsyncIterable<Buffer>): Promise<void> {
  return new Promise((resolve, reject) => {
    let failed = false;
    const query = {
      submit: (connection: unknown) => (connection as CopyConnection).query(text),
      handleCopyInResponse: (connection: CopyConnection) => {
        sendData(connection, data, () => failed).catch((error: Error) => {
          reject(error);
          connection.sendCopyFail(error.message);
        });
      },
      handleError: (error: Error) => {
        failed = true;
        reject(error);
      },
      handleReadyForQuery: () => resolve(),
      handleCommandComplete: () => undefined,
      handleRowDescription: () => undefined,
      handleDataRow: () => undefined,
      handleEmptyQuery: () => undefined,
    };
    client.query(query as Submittable);
  });
}

async function sendData(
  connection: CopyConnection,
  data: AsyncIterable<Buffer>,
  failed: () => boolean,
): Promise<void> {
  for await (const chunk of data) {
    if (failed()) return;
    connection.sendCopyFromChunk(chunk);
    if (connection.stream.writableNeedDrain) await once(connection.stream, 'drain');
  }
  connection.endCopyFrom();
}
