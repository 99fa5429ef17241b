/** The form of a table's page: queues a publication for who knows the token, and for nobody else (P9). */
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { startServing, type Serving } from './serving.ts';

const queued: string[] = [];
let serving: Serving;
const id = '5f1d3a52-1111-4222-8333-944444444444';

beforeAll(async () => {
  const rebuild = async (table: string): Promise<void> => void queued.push(table);
  serving = await startServing({ environment: { DUMPER_ADMIN_TOKEN: 'right' }, parts: { rebuild } });
  await serving.createTable(id, 3);
});
afterAll(() => serving.close());

const send = (table: string, body: string, type = 'application/x-www-form-urlencoded'): Promise<Response> =>
  fetch(`${serving.url}/tables/${table}/rebuild`, {
    method: 'POST',
    body,
    headers: { 'Content-Type': type },
    redirect: 'manual',
  });

describe('the form that asks for a publication', () => {
  it('queues with the admin token and leads back to the page', async () => {
    const answer = await send(id, 'token=right');
    expect([answer.status, answer.headers.get('location')]).toEqual([303, `../${id}?queued=1`]);
    expect(queued.splice(0)).toEqual([id]);
  });

  it.each([
    ['token=wrong', 'application/x-www-form-urlencoded'],
    ['', 'application/x-www-form-urlencoded'],
    ['token[]=right', 'application/x-www-form-urlencoded'],
    ['{"token":"right"}', 'application/json'],
  ])('P9: %j as %s is refused', async (body, type) => {
    const answer = await send(id, body, type);
    expect([answer.status, await answer.text()]).toEqual([
      403,
      expect.stringContaining('not the admin token'),
    ]);
    expect(queued).toEqual([]);
  });

  it('P15: a form without end is refused, an unknown table is told to the admin only', async () => {
    expect((await send(id, `token=${'x'.repeat(100_000)}`)).status).toBe(403);
    expect((await send('no-such-table', 'token=right')).status).toBe(404);
    expect((await send('no-such-table', 'token=wrong')).status).toBe(403);
    expect(queued).toEqual([]);
  });
});
