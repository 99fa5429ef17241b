/**
 * Promise P22: a deviating answer judged cell by cell: its rows are those of the same question answered by the oracle,
 * where that is known, and each cell is what the oracle formatter makes of the same question's CSV.
 */
import { ckanProfile } from '../../src/ckan/profile.ts';
import { slowRows, type SlowColumn } from '../dump/oracle-formatter.ts';
import { readSeparated, readXml, type Rows } from './answer-rows.ts';
import { oracleAnswer, type WholeTable } from './oracle.ts';
import type { Answer } from './request.ts';

export interface Asking {
  readonly format: string;
  readonly answer: Answer;
  /** The request's path and query. */
  readonly path: string;
  /** Asks another target as the same caller. */
  readonly ask: (target: string) => Promise<Answer>;
  /** Filters know operators, as of CKAN 2.12. */
  readonly operators: boolean;
}

/** What is wrong with the answer; null: nothing. */
export async function faultOfDeviation({
  format,
  answer,
  path,
  ask,
  operators,
}: Asking): Promise<string | null> {
  const [target = '', query = ''] = path.split('?');
  const inFormat = (name: string): string => {
    const others = query.split('&').filter((part) => part !== '' && !/^(?:format|bom|latest)=/.test(part));
    return `${target}?${[...others, `format=${name}`, 'latest=true'].join('&')}`;
  };
  const text = textOf(answer);
  const csv = format === 'csv' ? answer : await ask(inFormat('csv'));
  const fields = await ask(inFormat('json'));
  if (csv.status !== 200 || fields.status !== 200) return `${csv.status} in CSV, ${fields.status} in JSON`;
  const rows = readSeparated(textOf(csv), ',');
  const expected = await oracleRows(target, query, ask, operators);
  if (expected !== null && JSON.stringify(expected) !== JSON.stringify(rows))
    return `${rows.rows.length} rows are not the ${expected.rows.length} expected, or differ`;
  const columns = columnsOf(textOf(fields), target);
  if (columns.length !== rows.names.length && rows.names.join('') !== '') return 'another head in JSON';
  return faultOfCells(format, text, rows, columns);
}

function textOf({ body }: Answer): string {
  return new TextDecoder('utf-8', { fatal: true }).decode(body);
}

/** Types for the oracle formatter; CSV's timestamps are spelled already. */
function columnsOf(json: string, target: string): SlowColumn[] {
  const { fields } = JSON.parse(json) as { fields: { id: string; type: string }[] };
  // Of CKAN's own views `_id` is a text, although its head says `int`.
  const ofId = target.includes('/_') ? 'text' : 'int4';
  return fields.map(({ id, type }) => ({ name: id, type: id === '_id' ? ofId : typeOf(type) }));
}

function typeOf(type: string): string {
  return known[type] ?? (type.startsWith('_') ? 'jsonb' : type);
}

const known: Readonly<Record<string, string>> = {
  int2: 'int4',
  float: 'float4',
  timestamp: 'text',
};

async function oracleRows(
  target: string,
  query: string,
  ask: Asking['ask'],
  operators: boolean,
): Promise<Rows | null> {
  const [csv, json] = [
    await ask(`${target}?latest=true`),
    await ask(`${target}?latest=true&format=json&limit=0`),
  ];
  if (csv.status !== 200 || json.status !== 200) return null;
  const { fields } = JSON.parse(textOf(json)) as { fields: { type: string }[] };
  const table: WholeTable = {
    ...readSeparated(textOf(csv), ','),
    types: fields.map(({ type }) => type),
  };
  return oracleAnswer(table, query, operators);
}

const profile = ckanProfile('2.12');

function faultOfCells(
  format: string,
  text: string,
  { names, rows }: Rows,
  columns: readonly SlowColumn[],
): string | null {
  if (format === 'csv') return null;
  if (format === 'tsv') {
    const expected = slowRows('tsv', columns, rows, profile);
    return text.slice(text.indexOf('\r\n') + 2) === expected ? null : 'cells differ from CSV';
  }
  if (format === 'json') {
    const { records } = JSON.parse(text) as { records: unknown[] };
    if (names.join('') === '') return records.length === rows.length ? null : 'not the rows of CSV';
    const expected = slowRows('json', columns, rows, profile);
    return text.endsWith(`  "records": [${expected}\n]}\n`) ? null : 'cells differ from CSV';
  }
  const shape = readXml(text);
  if (shape.rows !== rows.length) return `${shape.rows} rows, ${rows.length} in CSV`;
  if (names.join('') === '' || rows.length === 0) return null;
  const hasId = columns[0]?.name === '_id';
  const named = columns.map((column, index) =>
    index === 0 && hasId ? column : { ...column, name: shape.elements[index - (hasId ? 1 : 0)] ?? '' },
  );
  const body = text.slice(text.indexOf('\n') + 1).replaceAll(/(<row) xmlns:[^>]*?( _id="|>)/g, '$1$2');
  return body === `${slowRows('xml', named, rows, profile)}</data>\n` ? null : 'cells differ from CSV';
}
