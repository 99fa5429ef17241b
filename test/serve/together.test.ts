/** P9 and P22 in a crowd: requests that share a look-up share nothing that is another caller's or another question's. */
import { afterAll, beforeAll, expect, test } from 'vitest';
import { recordCount } from '../world/counts.ts';
import { ask, startServing, type Serving } from './serving.ts';

const hidden = 'b2000000-0000-4000-8000-000000000002';
const callers = [undefined, 'token-outsider', 'token-member'] as const;
const questions = ['', '?format=json', '?bom=true', '?limit=1', '?limit=x', '?redirect=false'] as const;

let serving: Serving;
beforeAll(async () => {
  serving = await startServing();
  await serving.createTable(hidden, 3, { private: true });
  await serving.publish(hidden, { public: false });
});
afterAll(() => serving.close());

interface Seen {
  readonly status: number;
  readonly text: string;
  readonly type: string | null;
  /** Without what changes with the time. */
  readonly location: string | undefined;
}

async function visit(query: string, token: string | undefined): Promise<Seen> {
  const headers = token === undefined ? {} : { authorization: token };
  const answer = await ask(`${serving.url}/datastore/dump/${hidden}${query}`, { headers });
  const location = answer.headers.get('location')?.split('?')[0];
  return { status: answer.status, text: answer.text, type: answer.headers.get('content-type'), location };
}

test('P9 everybody in a crowd at one table gets what they would get alone', async () => {
  const asked = callers.flatMap((token) => questions.map((query) => ({ token, query })));
  const alone: Seen[] = [];
  for (const { query, token } of asked) alone.push(await visit(query, token));
  // CKAN 2.12 refuses a bad parameter before it looks at the caller.
  const refused = [404, 404, 404, 404, 400, 404];
  const allowed = [302, 302, 302, 200, 400, 200];
  expect(alone.map(({ status }) => status)).toEqual([...refused, ...refused, ...allowed]);
  for (let round = 0; round < 10; round += 1) {
    const crowd = await Promise.all(asked.map(({ query, token }) => visit(query, token)));
    expect(crowd).toEqual(alone);
  }
  recordCount('P9', 'answers to a crowd of callers at one table', asked.length * 10);
});
