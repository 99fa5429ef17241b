/** The redirect that goes past Koa is the redirect that Koa gives; and what is passed on to Koa is resolved once (P4, P9). */
import { afterEach, describe, expect, it, vi } from 'vitest';
import { ask, startServing, type Serving } from './serving.ts';

// Measured with a busy machine, and room beyond.
vi.setConfig({ testTimeout: 60_000 });

const open = 'e1000000-0000-4000-8000-000000000001';
const hidden = 'e1000000-0000-4000-8000-000000000002';
const running: Serving[] = [];
afterEach(async () => {
  for (const part of running.splice(0).toReversed()) await part.close();
});

async function serve(environment: Readonly<Record<string, string>> = {}): Promise<Serving> {
  const serving = await startServing({ environment });
  running.push(serving);
  await serving.createTable(open, 3);
  await serving.createTable(hidden, 3, { private: true });
  await serving.publish(open, { exposed: environment['DUMPER_PUBLIC_BLOB_URL'] !== undefined });
  await serving.publish(hidden, { public: false });
  return serving;
}

interface Line {
  readonly msg: string;
  readonly path?: string;
}

function requestLines({ log }: Serving): Line[] {
  return log
    .map((line) => JSON.parse(line) as Line & { time: string; milliseconds: number })
    .filter(({ msg }) => msg === 'request')
    .map(({ time: _time, milliseconds: _milliseconds, ...line }) => line);
}

const conditional = { 'if-none-match': '"another"' };
const settings = {
  'of its own': {},
  'behind a CDN': { DUMPER_PUBLIC_BLOB_URL: 'https://cdn.example/data' },
  'read by other origins': { CKAN__CORS__ORIGIN_ALLOW_ALL: 'true' },
  'with tokens in a header of its own': { CKAN__APITOKEN_HEADER_NAME: 'X-Portal-Key' },
};

describe.each(Object.entries(settings))('a service %s', (_, environment) => {
  it.each([
    ['a public table', open, {}],
    ['a private one', hidden, { authorization: 'token-member' }],
  ])('redirects to the blob of %s by the same headers on both paths', async (_kind, id, credentials) => {
    const serving = await serve(environment);
    const seen = async (headers: Readonly<Record<string, string>>) => {
      const given = { ...credentials, ...headers, 'x-request-id': 'one-and-the-same' };
      const answer = await ask(`${serving.url}/datastore/dump/${id}?format=json`, { headers: given });
      const { date: _date, location, ...others } = Object.fromEntries(answer.headers);
      return { status: answer.status, text: answer.text, location: location?.split('?')[0], others };
    };
    const past = await seen({});
    expect(past.status).toBe(302);
    // A condition that does not hold changes nothing but the path.
    expect(await seen(conditional)).toEqual(past);
    const [line, another] = requestLines(serving);
    expect(line).toMatchObject({ path: `/datastore/dump/${id}`, status: 302, source: 'blob', bytes: 0 });
    expect(another).toEqual(line);
  });
});

it('P4: what is no redirect after all is resolved once, and every answer is logged once', async () => {
  const serving = await serve();
  await ask(`${serving.url}/datastore/dump/${open}`);
  const lookUps = async (): Promise<number> => {
    const { rows } = await serving.world.readPool.query<{ calls: number }>(
      `SELECT sum(generic_plans + custom_plans)::int AS calls FROM pg_prepared_statements WHERE name LIKE 'dumper_look_up%'`,
    );
    return rows[0]?.calls ?? 0;
  };
  const before = await lookUps();
  const asked = [`${open}?limit=1`, `${open}?redirect=false`, `${open}?limit=x`, 'no-such-table', hidden];
  const answers = [];
  for (const one of asked) answers.push((await ask(`${serving.url}/datastore/dump/${one}`)).status);
  expect(answers).toEqual([200, 200, 400, 404, 404]);
  // The bad parameter is refused without a look at the table.
  expect((await lookUps()) - before).toBe(asked.length - 1);
  const registry = serving.world.metrics.registry;
  const [counted] = (await registry.getMetricsAsJSON()).filter(({ name }) => name.endsWith('answers_total'));
  const values = (counted?.values ?? []) as readonly { readonly value: number }[];
  expect(values.reduce((sum, { value }) => sum + value, 0)).toBe(asked.length + 1);
  expect(requestLines(serving)).toHaveLength(asked.length + 1);
});
