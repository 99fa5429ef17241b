/** P13: which live answers have slots of their own. */
import { expect, test } from 'vitest';
import { costsLittle } from '../../src/serve/question/cost.ts';
import { parseQuestion } from '../../src/serve/question/parse.ts';

const large = 10 ** 9;
const littleTable = 2 ** 20;

function cost(query: string, tableBytes: number | null): boolean {
  const question = parseQuestion(query);
  if (question.kind === 'refused') throw new Error(question.message);
  return costsLittle(question, tableBytes);
}

const ids = (count: number): string => JSON.stringify({ _id: Array.from({ length: count }, (_, id) => id) });

test.each([
  ['', littleTable],
  ['q=a&sort=b&distinct=true', littleTable],
  ['limit=1000', large],
  ['limit=10&offset=10000&sort=_id', large],
  ['limit=10&filters={}', null],
  ['filters={"_id":7}', large],
  [`filters=${ids(1000)}&sort=a`, large],
  ['filters={"_id":[1,2],"a":"b"}', large],
])('%s of %s bytes costs little', (query, bytes) => expect(cost(query, bytes)).toBe(true));

test.each([
  ['', littleTable + 1],
  ['', null],
  ['limit=1001', large],
  ['limit=10&offset=10001', large],
  ['limit=10&sort=a', large],
  ['limit=10&sort=_id desc', large],
  ['limit=10&q=a', large],
  ['limit=10&distinct=true', large],
  ['limit=10&filters={"a":1}', large],
  [`filters=${ids(1001)}`, large],
  ['filters={"_id":1}&q=a', large],
])('%s of %s bytes may cost much', (query, bytes) => expect(cost(query, bytes)).toBe(false));
