/**
 * Promise P22: a question answered by the oracle, over the rows of the whole table in memory: filter, make distinct,
 * sort, cut. It knows the common types and operators only, and says so where a question needs more.
 */
import type { Cell } from '../dump/oracle-formatter.ts';
import type { Rows } from './answer-rows.ts';

type Json = null | boolean | number | string | Json[] | { [key: string]: Json };
type Row = readonly Cell[];

export interface WholeTable extends Rows {
  /** By column: the JSON head's types. */
  readonly types: readonly string[];
}

class Unknown extends Error {}

const numbers = new Set(['int', 'int2', 'int4', 'int8', 'numeric']);

/** The rows that answer `query`, or null where this reader does not know. */
export function oracleAnswer(table: WholeTable, query: string, operators: boolean): Rows | null {
  const asked = new URLSearchParams(query);
  const first = (name: string): string => asked.get(name) ?? '';
  if (first('q') !== '' || asked.get('fields') === '') return null;
  try {
    const filters = JSON.parse(first('filters') || '{}') as Json;
    if (!operators && /^\[|[:,[]\{/.test(JSON.stringify(filters))) return null;
    const names = first('fields') === '' ? table.names : first('fields').split(',').map(unquoted);
    const picked = names.map((name) => indexOf(table, name));
    const matching = table.rows.filter((row) => matches(table, row, filters));
    const sorted = sortRows(table, matching, first('sort') || '_id');
    const shown = sorted.map((row) => picked.map((index) => row[index] ?? null));
    const isDistinct = /^(?:true|yes|t|y|1)$/i.test(first('distinct'));
    const rows = isDistinct ? distinct(shown) : shown;
    const offset = wholeNumber(first('offset') || '0');
    const end = first('limit').trim() === '' ? rows.length : offset + wholeNumber(first('limit'));
    return { names, rows: rows.slice(offset, end) };
  } catch (error) {
    if (error instanceof Unknown || error instanceof SyntaxError) return null;
    throw error;
  }
}

function wholeNumber(text: string): number {
  if (!/^-?\d+$/.test(text) || Number(text) < 0) throw new Unknown();
  return Number(text);
}

function unquoted(text: string): string {
  return text.trim().replaceAll(/^"+|"+$/g, '');
}

function indexOf(table: WholeTable, name: string): number {
  const index = table.names.indexOf(name);
  if (index < 0) throw new Unknown();
  return index;
}

function distinct(rows: readonly Row[]): Row[] {
  return [...new Map(rows.map((row) => [JSON.stringify(row), row])).values()];
}

/** Every one is tried, as Postgres may: what cannot be compared is a fault wherever it stands. */
function any<Item>(items: readonly Item[], test: (item: Item) => boolean): boolean {
  return items.map(test).includes(true);
}

function all<Item>(items: readonly Item[], test: (item: Item) => boolean): boolean {
  return !items.map(test).includes(false);
}

function matches(table: WholeTable, row: Row, filter: Json): boolean {
  if (filter === null) return true;
  if (Array.isArray(filter)) return any(filter, (one) => matches(table, row, one));
  if (typeof filter !== 'object') throw new Unknown();
  return all(Object.entries(filter), ([key, value]) => {
    if (key === '$or' && Array.isArray(value)) return any(value, (one) => matches(table, row, one));
    if (key === '$and' && Array.isArray(value)) return all(value, (one) => matches(table, row, one));
    const index = indexOf(table, key);
    return holds(row[index] ?? null, table.types[index] ?? '', value);
  });
}

function holds(cell: Cell, type: string, value: Json): boolean {
  if (type.startsWith('_')) throw new Unknown();
  if (Array.isArray(value)) return any(value, (one) => holds(cell, type, one));
  if (value !== null && typeof value === 'object') {
    return all(Object.entries(value), ([operator, operand]) => {
      if (operator === 'in' && Array.isArray(operand)) return any(operand, (one) => holds(cell, type, one));
      const order = compared(cell, type, operand);
      const wanted = tests[operator];
      if (wanted === undefined) throw new Unknown();
      return order !== null && wanted(order);
    });
  }
  return compared(cell, type, value) === 0;
}

const tests: Readonly<Record<string, (order: number) => boolean>> = {
  eq: (order) => order === 0,
  gt: (order) => order > 0,
  gte: (order) => order >= 0,
  lt: (order) => order < 0,
  lte: (order) => order <= 0,
};

/** The sign of cell minus value; null where either is NULL. */
function compared(cell: Cell, type: string, value: Json): number | null {
  if (numbers.has(type)) {
    if (cell === null || value === null) return null;
    if (typeof value === 'boolean' || !(Math.abs(Number(value)) < 2 ** 53)) throw new Unknown();
    return Math.sign(Number(cell) - Number(value));
  }
  if (type !== 'text' || typeof value !== 'string') throw new Unknown();
  return cell === null ? null : Buffer.compare(Buffer.from(cell), Buffer.from(value));
}

const clause = /^(.+?)(?: +(asc|desc))?(?: +nulls +(first|last))?$/i;

function sortRows(table: WholeTable, rows: readonly Row[], sort: string): Row[] {
  const keys = sort.split(',').map((text) => {
    const [, name = '', direction = 'asc', nulls] = clause.exec(text.trim()) ?? [];
    const descending = direction.toLowerCase() === 'desc';
    const nullsFirst = nulls === undefined ? descending : nulls.toLowerCase() === 'first';
    const index = indexOf(table, unquoted(name));
    const type = table.types[index] ?? '';
    if (type !== 'text' && !numbers.has(type)) throw new Unknown();
    return { index, descending, nullsFirst };
  });
  // Rows come in `_id` order, and sorting keeps the order of equals.
  return rows.toSorted((one, other) => {
    for (const { index, descending, nullsFirst } of keys) {
      const [left = null, right = null] = [one[index], other[index]];
      if (left === right) continue;
      if (left === null || right === null) return (left === null) === nullsFirst ? -1 : 1;
      const type = table.types[index] ?? '';
      const value = numbers.has(type) ? Number(right) : right;
      const order = compared(left, type, value) ?? 0;
      if (order !== 0) return descending ? -order : order;
    }
    return 0;
  });
}
