/** While a loader fills a table, the last whole dump, where the operator asks for it, and never for longer than that (P4). */
import { afterAll, beforeAll, beforeEach, describe, expect, it } from 'vitest';
import { asResourceId } from '../../src/postgres/table.ts';
import { ask, startServing, type Serving } from './serving.ts';

const id = 'ad000000-0000-4000-8000-000000000001';
const timing = { quietSeconds: 5, hotTableFactor: 4 };
const staleSeconds = 600;
let serving: Serving;
let plain: Serving;
/** Added to the service's clock. */
let ahead = 0;

beforeAll(async () => {
  const now = (): Date => new Date(Date.now() + ahead * 1000);
  serving = await startServing({
    environment: { DUMPER_SERVE_STALE_SECONDS: String(staleSeconds) },
    parts: { now },
  });
  plain = await startServing();
  for (const one of [serving, plain]) {
    await one.createTable(id, 20);
    await one.publish(id);
  }
});
afterAll(async () => {
  await Promise.all([serving.close(), plain.close()]);
});
beforeEach(async () => {
  ahead = 0;
  serving.tables.set(id, { private: false, state: 'active' });
  await serving.publish(id, { force: true });
});

const dump = (one: Serving, query = ''): string => `${one.url}/datastore/dump/${id}${query}`;

/** As the listener does it, which is not part of this service. */
async function load(one: Serving, statement: string): Promise<void> {
  await one.owner.query(statement);
  await one.state.publications.recordChanges([{ id: asResourceId(id) }], timing);
}
const loadRow = `INSERT INTO "${id}" (n) VALUES (1)`;

describe('a table that is being loaded', () => {
  it('is given as the last whole dump, marked and kept by no cache', async () => {
    const whole = await ask(dump(serving, '?redirect=false'));
    expect(whole.headers.get('x-dump-stale-since')).toBeNull();
    await load(serving, `DELETE FROM "${id}"`);
    const record = await serving.state.publications.get(asResourceId(id));
    for (const headers of [{}, { authorization: 'token-nobody' }]) {
      const answer = await ask(dump(serving), { headers });
      expect(answer.headers.get('x-dump-stale-since')).toBe(record?.staleSince?.toISOString());
      expect(answer.headers.get('cache-control')).toBe('private, no-store');
      expect(answer.headers.get('x-accel-expires')).toBeNull();
      const bytes =
        answer.status === 302
          ? await ask(new URL(answer.headers.get('location') ?? '', serving.url).href)
          : answer;
      expect(bytes.text).toBe(whole.text);
    }
  });

  it('made anew with other columns, it is still the old whole dump', async () => {
    const whole = await ask(dump(serving, '?redirect=false'));
    await load(serving, `ALTER TABLE "${id}" ADD COLUMN more text; ALTER TABLE "${id}" DROP COLUMN more`);
    await load(serving, `ALTER TABLE "${id}" RENAME COLUMN n TO m`);
    const stale = await ask(dump(serving, '?redirect=false'));
    await serving.owner.query(`ALTER TABLE "${id}" RENAME COLUMN m TO n`);
    expect([stale.text, stale.headers.get('x-dump-source')]).toEqual([whole.text, 'blob']);
    expect(stale.headers.get('x-dump-stale-since')).not.toBeNull();
  });

  const live: readonly (readonly [string, string, () => void])[] = [
    ['latest=true', '?latest=true', () => undefined],
    ['a part of the table', '?q=row', () => undefined],
    ['the time that the operator gives is over', '', () => (ahead = staleSeconds + 1)],
    ['its dataset was made private', '', () => serving.tables.set(id, { private: true, state: 'active' })],
  ];
  it.each(live)('P4: is live, or nothing, when %s', async (_name, query, happens) => {
    await load(serving, loadRow);
    happens();
    const anonymous = await ask(dump(serving, query));
    expect([200, 404]).toContain(anonymous.status);
    const token = { authorization: 'token-sysadmin' };
    const answer = await ask(dump(serving, query), { headers: token });
    expect([answer.status, answer.headers.get('x-dump-source')]).toEqual([200, 'live']);
    for (const { headers } of [anonymous, answer]) expect(headers.get('x-dump-stale-since')).toBeNull();
  });

  it('P4: is live when it failed to be published and no longer changes', async () => {
    await load(serving, loadRow);
    await serving.state.publications.recordFailure(asResourceId(id), 'broken');
    ahead = 100;
    expect((await ask(dump(serving))).headers.get('x-dump-source')).toBe('live');
  });

  it('P4: is live where nobody has recorded the change', async () => {
    await serving.owner.query(loadRow);
    expect((await ask(dump(serving))).headers.get('x-dump-source')).toBe('live');
  });

  it('P4: is live without the setting', async () => {
    await load(plain, loadRow);
    expect((await ask(dump(plain))).headers.get('x-dump-source')).toBe('live');
  });
});
