/**
 * Promise P10, the stated time: whoever loses access gets nothing that was asked for later than decision life + URL life
 * (and the second to which signatures are rounded), by the dump's address or by one that was handed out before.
 */
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import type { TableRights } from '../world/fake-ckan.ts';
import { recordCount } from '../world/counts.ts';
import { ask, startServing, type Serving } from './serving.ts';

const decisionSeconds = 1;
const lifeSeconds = 1;
const statedMilliseconds = (decisionSeconds + lifeSeconds + 1) * 1000;
const id = 'f1100000-0000-4000-8000-00000000000e';

let serving: Serving;
let rights: TableRights;
beforeAll(async () => {
  serving = await startServing({
    environment: {
      DUMPER_DECISION_CACHE_SECONDS: String(decisionSeconds),
      DUMPER_URL_LIFE_SECONDS: String(lifeSeconds),
    },
  });
  await serving.createTable(id, 20);
  await serving.publish(id);
  const found = serving.tables.get(id);
  if (found === undefined) throw new Error('no such table');
  rights = found;
});
afterAll(() => serving.close());

const losses: readonly [string, string, () => void][] = [
  ['the dataset is made private', 'anonymous', () => (rights.private = true)],
  ['a token is revoked', 'member', () => serving.ckan.revoke('member')],
  ['the dataset is deleted', 'outsider', () => (rights.state = 'deleted')],
  ['the dataset is a draft again', 'anonymous', () => (rights.state = 'draft')],
];

describe('P10: nothing that was asked for after the stated time', () => {
  it.each(losses)('%s (as %s)', async (what, who, lose) => {
    rights.state = 'active';
    rights.private = what.startsWith('a token');
    const token = serving.ckan.token(who);
    const headers: Record<string, string> = token === undefined ? {} : { authorization: token };
    const dump = `${serving.url}/datastore/dump/${id}`;
    await expect.poll(async () => (await ask(dump, { headers })).status, { timeout: 10_000 }).toBe(302);
    let held = '';
    const late: string[] = [];
    let asked = 0;
    const tryAll = async (lostAt: number | null): Promise<void> => {
      for (const [way, url] of Object.entries({
        redirect: dump,
        stream: `${dump}?redirect=false`,
        live: `${dump}?limit=1`,
        status: `${serving.url}/status/${id}`,
        held,
      })) {
        const began = Date.now();
        const answer = await ask(url, { headers: way === 'held' ? {} : headers });
        asked += 1;
        if (way === 'redirect' && answer.status === 302)
          held = new URL(answer.headers.get('location') ?? '', serving.url).href;
        const since = lostAt === null ? 0 : began - lostAt;
        if (answer.status < 400 && since > statedMilliseconds) late.push(`${way} after ${since} ms`);
      }
    };
    held = dump;
    await tryAll(null);
    lose();
    const lostAt = Date.now();
    while (Date.now() - lostAt < statedMilliseconds + 300) await tryAll(lostAt);
    expect(late).toEqual([]);
    expect((await ask(dump, { headers })).status).toBe(404);
    expect((await ask(held)).status).toBe(403);
    recordCount('P10', `requests while ${what}`, asked);
  });
});
