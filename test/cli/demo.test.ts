/**
 * The demo, run as a reader would: its tables are CKAN's in shape and answer what was generated, every printed command
 * works, Ctrl-C and a crash leave nothing behind.
 */
import { execFile, spawn, type ChildProcess } from 'node:child_process';
import { once } from 'node:events';
import { existsSync, rmSync } from 'node:fs';
import path from 'node:path';
import { isDeepStrictEqual, promisify } from 'node:util';
import { parseString } from 'fast-csv';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import type { Cell, DemoTable } from '../../src/demo/demo-table.ts';
import { demoTables } from '../../src/demo/tables.ts';
import { airQuality } from '../../src/demo/tables/air-quality.ts';
import { placeNames } from '../../src/demo/tables/place-names.ts';
import { root } from '../house/tree.ts';
import { eventually } from '../world/eventually.ts';
import { asAdmin } from '../world/postgres.ts';

const run = promisify(execFile);
const started: ChildProcess[] = [];
afterAll(() => {
  for (const child of started.splice(0)) child.kill('SIGKILL');
  rmSync(dump, { force: true });
});

const dump = path.join(root, 'dump.csv');

interface Demo {
  readonly child: ChildProcess;
  readonly text: string;
  /** Its temporary directory. */
  readonly directory: string;
  readonly databasePort: string;
  /** Where dumps are asked for, a slash at the end. */
  readonly dumps: string;
}

async function demo(): Promise<Demo> {
  const child = spawn(process.execPath, ['src/main.ts', 'demo', '--port', '0'], {
    cwd: root,
    env: { PATH: process.env['PATH'], HOME: process.env['HOME'] },
    stdio: ['ignore', 'pipe', 'pipe'],
  });
  started.push(child);
  let text = '';
  child.stdout?.on('data', (chunk: Buffer) => (text += chunk.toString()));
  child.stderr?.on('data', (chunk: Buffer) => (text += chunk.toString()));
  await eventually(
    'the demo tells what to try',
    () => text.includes('Ctrl-C stops') || child.exitCode !== null,
    { seconds: 120 },
  );
  expect(child.exitCode, text).toBeNull();
  return {
    child,
    text,
    directory: /Dumps are in (\S+)\/blobs/.exec(text)?.[1] ?? '',
    dumps: /listens on (\S+)\/ /.exec(text)?.[1]?.concat('/datastore/dump/') ?? '',
    databasePort: /127\.0\.0\.1:(\d+)\/datastore'/.exec(text)?.[1] ?? '',
  };
}

/** Commands of the text, as they are printed: indented by five, a backslash joins lines. */
function printedCommands(text: string): string[] {
  const joined = text.replaceAll(/\\\n\s+/g, ' ');
  return [...joined.matchAll(/^ {5}((?:curl|npx) .*)$/gm)].map((match) => match[1] ?? '');
}

/** The directory is gone and nobody listens at the database's port. */
async function nothingLeft({ directory, databasePort }: Demo): Promise<void> {
  await eventually('the directory is removed', () => !existsSync(directory), { seconds: 120 });
  const port = Number(databasePort).toString(16).toUpperCase().padStart(4, '0');
  const { stdout } = await run('cat', ['/proc/net/tcp']).catch(() => ({ stdout: '' }));
  expect(stdout).not.toMatch(new RegExp(`0100007F:${port} 00000000:0000 0A`));
}

const databaseUrl = ({ databasePort }: Demo, role: string): string =>
  `postgresql://${role}:pass@127.0.0.1:${databasePort}/datastore`;

/** The rows of a table as its JSON dump tells them: `_id` first, numbers for decimals, milliseconds in times. */
function expectedRecords(table: DemoTable): unknown[][] {
  const told = (cell: Cell, place: number): unknown => {
    const type = table.columns[place]?.type;
    if (cell !== null && type === 'numeric') return Number(cell);
    return cell !== null && type === 'timestamp' ? `${String(cell)}.000` : cell;
  };
  return [...table.rows()].map((row, index) => [index + 1, ...row.map(told)]);
}

async function csvRows(text: string): Promise<string[][]> {
  const rows: string[][] = [];
  for await (const row of parseString<string[], string[]>(text)) rows.push(row);
  return rows;
}

describe('the demo', () => {
  let shown: Demo;
  beforeAll(async () => {
    shown = await demo();
  });

  it.each(demoTables.map((table) => [table.title, table] as const))(
    '%s: the JSON dump holds every row that was generated',
    async (_title, table) => {
      const answer = await fetch(`${shown.dumps}${table.id}?format=json`);
      const { records } = (await answer.json()) as { records: unknown[][] };
      const expected = expectedRecords(table);
      expect(records).toHaveLength(table.rowCount);
      expect(expected).toHaveLength(table.rowCount);
      const wrong = expected.findIndex((record, index) => !isDeepStrictEqual(record, records[index]));
      expect(records[wrong]).toEqual(expected[wrong]);
    },
  );

  it('one table has exactly 200,000 rows, in CSV too', async () => {
    expect(airQuality.rowCount).toBe(200_000);
    const csv = await (await fetch(`${shown.dumps}${airQuality.id}`)).text();
    expect(csv.split('\n')).toHaveLength(200_000 + 2);
  });

  it('odd characters survive the way through CSV', async () => {
    const csv = await (await fetch(`${shown.dumps}${placeNames.id}`)).text();
    const [header, ...rows] = await csvRows(csv);
    expect(header).toEqual(['_id', ...placeNames.columns.map(({ name }) => name)]);
    expect(rows).toEqual(
      expectedRecords(placeNames).map((record) => record.map((cell) => String(cell ?? ''))),
    );
    for (const odd of ['\n', '\r\n', ';', '"', '\t', 'ميناء', '天文台', '🧑‍🌾', '000001'])
      expect(
        rows.flat().some((cell) => cell.includes(odd)),
        odd,
      ).toBe(true);
  });

  it.each(demoTables.map((table) => [table.title, table] as const))(
    '%s: the data dictionary, the aliases and the full text are as CKAN keeps them',
    async (_title, table) => {
      await asAdmin(databaseUrl(shown, 'ckan_default'), async (owner) => {
        const comments = await owner.query<{ name: string; comment: string }>(
          `SELECT attname AS name, col_description(attrelid, attnum) AS comment FROM pg_attribute
           WHERE attrelid = $1::regclass AND attnum > 0 AND left(attname, 1) <> '_' ORDER BY attnum`,
          [`public."${table.id}"`],
        );
        expect(comments.rows.map(({ name, comment }) => [name, JSON.parse(comment)])).toEqual(
          table.columns.map(({ name, label, notes }) => [
            name,
            { _info: { label, notes, type_override: '' } },
          ]),
        );
        const aliases = await owner.query<{ name: string }>(
          'SELECT name FROM _table_metadata WHERE alias_of = $1 ORDER BY name',
          [table.id],
        );
        expect(aliases.rows.map(({ name }) => name)).toEqual(table.aliases);
        await owner.query('BEGIN');
        const same = await owner.query(
          `WITH filled AS MATERIALIZED (SELECT _id, _full_text FROM "${table.id}" WHERE _id <= 300),
             changed AS (UPDATE "${table.id}" SET _id = _id WHERE _id <= 300 RETURNING _id, _full_text)
           SELECT FROM filled JOIN changed USING (_id) WHERE filled._full_text = changed._full_text`,
        );
        await owner.query('ROLLBACK');
        expect(same.rowCount).toBe(300);
      });
    },
  );

  it('the role that reads reads tables and aliases, and writes nothing', async () => {
    await asAdmin(databaseUrl(shown, 'datastore_default'), async (reader) => {
      for (const name of demoTables.flatMap(({ id, aliases }) => [id, ...aliases]))
        expect((await reader.query(`SELECT FROM "${name}" LIMIT 1`)).rowCount).toBe(1);
      await expect(reader.query(`DELETE FROM "${airQuality.id}"`)).rejects.toMatchObject({ code: '42501' });
    });
  });

  it(
    'prints commands that show what they promise, and Ctrl-C leaves nothing',
    { timeout: 180_000 },
    async () => {
      const [redirect = '', live = '', change = ''] = printedCommands(shown.text);
      const shell = async (command: string): Promise<string> =>
        (await run('bash', ['-c', command], { cwd: root })).stdout;
      const redirected = await shell(redirect);
      expect(redirected).toMatch(/302 Found[\s\S]*X-Dump-Source: blob[\s\S]*200 OK[\s\S]*text\/csv/);
      const answered = JSON.parse(await shell(live)) as { records: unknown[][] };
      expect(answered.records.map(([, , station]) => station)).toEqual(['Port-Évêque', 'Port-Évêque']);
      // the wait of the printed command, as a condition
      const [before = '', , after = ''] = change.split(/ && (sleep \d+) && /);
      expect(await shell(before)).toContain('X-Dump-Source: live');
      await eventually('fresh again', async () => (await shell(after)).includes('X-Dump-Source: blob'), {
        seconds: 120,
      });
      shown.child.kill('SIGINT');
      const [code] = (await once(shown.child, 'exit')) as [number | null];
      expect(code).toBe(0);
      await nothingLeft(shown);
    },
  );

  it('a crash leaves no server and no directory behind', { timeout: 180_000 }, async () => {
    const crashed = await demo();
    expect(existsSync(crashed.directory)).toBe(true);
    crashed.child.kill('SIGKILL');
    await once(crashed.child, 'exit');
    await nothingLeft(crashed);
  });
});
