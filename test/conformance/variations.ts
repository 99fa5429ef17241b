/**
 * Promise P22 beyond the recorded cases: questions made at random, a seed deciding which, over a corpus's own tables and
 * values, in the spellings that CKAN takes. An answer is right in itself, the same in every format, and what a slow oracle
 * reader expects.
 */
import { seeded, type Random } from '../hostile/requests.ts';
import { faultOfDeviation, type Asking } from './deviating-answer.ts';
import { readSeparated } from './answer-rows.ts';
import { oracleAnswer } from './oracle.ts';
import { refusal } from './judge.ts';
import { send, type Answer } from './request.ts';

export interface Varied {
  readonly statuses: Record<string, number>;
  /** A line for each answer that is not right. */
  readonly faults: string[];
}

interface Asked {
  readonly path: string;
  readonly columns: readonly { readonly id: string; readonly type: string }[];
  readonly values: readonly (readonly (string | null)[])[];
}

const formats = ['csv', 'tsv', 'json', 'xml'];

/** Ask `count` questions of the tables at `paths` from the service at `port`. */
export async function vary(
  port: number,
  paths: readonly string[],
  count: number,
  seed: number,
  operators: boolean,
): Promise<Varied> {
  const random = seeded(seed);
  const ask = (path: string): Promise<Answer> =>
    send(port, { method: 'GET', path, request_headers: {}, request_body: null }, undefined);
  const tables = (await Promise.all(paths.map((path) => describe(path, ask)))).filter((one) => one !== null);
  const varied: Varied = { statuses: {}, faults: [] };
  let left = count;
  const worker = async (): Promise<void> => {
    while (left-- > 0) {
      const table = pick(random, tables);
      const format = pick(random, formats);
      const path = `${table.path}?${questionOf(random, table)}&format=${format}&latest=true`;
      const answer = await ask(path);
      varied.statuses[answer.status] = (varied.statuses[answer.status] ?? 0) + 1;
      const fault = await faultOf({ path, format, answer, ask, operators }, table);
      if (fault !== null) varied.faults.push(`${decodeURIComponent(path)}: ${fault}`);
    }
  };
  await Promise.all([worker(), worker(), worker()]);
  return varied;
}

async function describe(path: string, ask: (path: string) => Promise<Answer>): Promise<Asked | null> {
  const json = await ask(`${path}?format=json&limit=0&latest=true`);
  const csv = await ask(`${path}?limit=20&latest=true`);
  if (json.status !== 200 || csv.status !== 200) return null;
  const { fields } = JSON.parse(json.body.toString()) as { fields: Asked['columns'] };
  return { path, columns: fields, values: readSeparated(csv.body.toString(), ',').rows };
}

async function faultOf(asking: Asking, { columns, values }: Asked): Promise<string | null> {
  const { answer, path, operators } = asking;
  if (answer.status === 200) {
    return faultOfDeviation(asking).catch((error: unknown) => String(error));
  }
  if (answer.status !== 400) return `${answer.status}`;
  const table = { names: columns.map(({ id }) => id), types: columns.map(({ type }) => type), rows: values };
  const isKnown = values.length > 1 && oracleAnswer(table, path.split('?')[1] ?? '', operators) !== null;
  if (isKnown) return `refused: ${answer.body.toString()}`;
  return refusal.test(answer.body.toString()) ? null : 'a 400 without a parameter';
}

function pick<Value>(random: Random, from: readonly Value[]): Value {
  return from[Math.floor(random() * from.length)] as Value;
}

function questionOf(random: Random, table: Asked): string {
  const some = (share: number, part: () => string): string[] => (random() < share ? [part()] : []);
  const column = (): string => pick(random, table.columns).id;
  const parts = [
    ...some(0.4, () => `fields=${names(random, column)}`),
    ...some(0.45, () => `sort=${sortOf(random, column)}`),
    ...some(0.3, () => `distinct=${pick(random, ['true', 'True', '1', 'y', 't', 'false', 'no', ''])}`),
    ...some(
      0.4,
      () => `limit=${pick(random, ['0', '1', '3', ' 5 ', '+2', '007', '1_0', '99999', '', '-1', '1.0'])}`,
    ),
    ...some(0.3, () => `offset=${pick(random, ['0', '1', '2', '-0', ' 1', '9999999', '', 'x'])}`),
    ...some(0.45, () => `filters=${JSON.stringify(filterOf(random, table, 0))}`),
    ...some(
      0.2,
      () =>
        `q=${pick(random, ['a', 'the', 'x y', "it's", '', '1', '{}', JSON.stringify({ [column()]: 'a' })])}`,
    ),
    ...some(0.1, () => `plain=${pick(random, ['true', 'false', ''])}`),
    ...some(0.1, () => `language=${pick(random, ['english', 'simple', 'french', ''])}`),
    ...some(0.05, () => 'unknown=1'),
  ];
  return parts
    .map((part) => part.replace(/=.*/s, (value) => `=${encodeURIComponent(value.slice(1))}`))
    .join('&');
}

function names(random: Random, column: () => string): string {
  const many = Array.from({ length: 1 + Math.floor(random() * 3) }, column);
  return many.map((name) => pick(random, [name, name, ` ${name} `, `"${name}"`])).join(',');
}

function sortOf(random: Random, column: () => string): string {
  const ends = ['', ' asc', ' desc', ' DESC', ' desc nulls last', ' asc nulls first', ' nulls last', '  asc'];
  const keys = Array.from({ length: 1 + Math.floor(random() * 2) }, () => {
    const name = column();
    return pick(random, [name, name, `"${name}"`]) + pick(random, ends);
  });
  return keys.join(pick(random, [',', ', ']));
}

function filterOf(random: Random, table: Asked, depth: number): unknown {
  if (depth < 2 && random() < 0.15) {
    const members = Array.from({ length: 1 + Math.floor(random() * 2) }, () =>
      filterOf(random, table, depth + 1),
    );
    return random() < 0.3 && depth === 0 ? members : { [pick(random, ['$or', '$and'])]: members };
  }
  const index = Math.floor(random() * table.columns.length);
  const value = (): unknown => {
    const cell = table.values.length > 0 ? (pick(random, table.values)[index] ?? null) : null;
    const number = Number(cell);
    return pick(random, [
      cell,
      cell,
      cell === null || cell === '' || Number.isNaN(number) ? cell : number,
      1,
      'a',
      null,
    ]);
  };
  const asked = pick(random, [
    value,
    value,
    () => [value(), value()],
    () => [],
    () => ({ [pick(random, ['gt', 'gte', 'lt', 'lte', 'eq'])]: value() }),
    () => ({ in: [value(), value()] }),
    () => ({ gte: value(), lt: value() }),
    () => [{ gt: value() }, value()],
    () => true,
    () => 1.5,
  ])();
  return { [table.columns[index]?.id ?? '']: asked };
}
