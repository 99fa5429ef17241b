/**
 * P12, P14, P16: a question as long as an address can be costs no more than the table that it asks of. The service is a
 * process of its own with a small heap, and Postgres ends each of its statements that takes long.
 */
import { readFileSync } from 'node:fs';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { startService, type Service } from '../conformance/program.ts';
import { serviceFixture, type ServiceFixture } from '../world/service.ts';
import { asAdmin } from '../world/postgres.ts';

const versions = ['2.11', '2.12'] as const;
const rows = 50_000;
const wide = Array.from({ length: 1590 }, (_, index) => `c${index}`);

let world: ServiceFixture;
const services = new Map<string, Service>();

beforeAll(async () => {
  world = await serviceFixture();
  await world.asOwner(`
    CREATE TABLE public.many (_id serial PRIMARY KEY, _full_text tsvector, a int4, b text, n numeric, f float8,
      r float4, ok boolean, t timestamp, ta text[], "N ulls" text);
    INSERT INTO public.many (a, b, n, f, r, ok, t, ta, "N ulls")
      SELECT i % 7, 'b' || i % 11, i / 4.0, i, i, i % 2 = 0, 'epoch'::timestamp + i % 5 * interval '1 day',
        ARRAY['x' || i % 3], 'n' FROM generate_series(1, ${rows}) i;
    CREATE TABLE public.wide (_id serial PRIMARY KEY, _full_text tsvector, ${wide.map((name) => `${name} int2`).join(', ')});
    INSERT INTO public.wide (c0, c1, c1589) SELECT i % 3, i % 2, i FROM generate_series(1, 200) i;
    UPDATE public.wide SET _full_text = to_tsvector('english', c0::text);
    ANALYZE public.many; ANALYZE public.wide`);
  await asAdmin(world.database.adminUrl, (admin) =>
    admin.query(
      `ALTER ROLE datastore_default IN DATABASE "${new URL(world.database.adminUrl).pathname.slice(1)}"
       SET statement_timeout = '30s'`,
    ),
  );
  const { DUMPER_PORT: _, ...settings } = world.settings;
  for (const version of versions) {
    services.set(
      version,
      await startService({
        ...settings,
        DUMPER_CKAN_VERSION: version,
        NODE_OPTIONS: '--max-old-space-size=256',
      }),
    );
  }
});

afterAll(async () => {
  for (const [version, service] of services) {
    console.log(`long questions, ${version}: the process held at most ${peakMegabytes(service.pid)} MB`);
    await service.stop();
  }
  await world.end();
});

/** The most memory that a process has held; 0 where the system does not tell. */
function peakMegabytes(pid: number): number {
  try {
    const [, kilobytes = '0'] = /VmHWM:\s+(\d+)/.exec(readFileSync(`/proc/${pid}/status`, 'utf8')) ?? [];
    return Math.round(Number(kilobytes) / 1024);
  } catch {
    return 0;
  }
}

interface Told {
  readonly status: number;
  readonly lines: number;
  readonly head: string;
}

async function told(version: string, table: string, parameters: Record<string, string>): Promise<Told> {
  const query = new URLSearchParams(parameters).toString();
  const port = services.get(version)?.port ?? 0;
  const response = await fetch(`http://127.0.0.1:${port}/datastore/dump/${table}?${query}`);
  let [head, lines] = ['', 0];
  const decoder = new TextDecoder();
  for await (const chunk of response.body ?? []) {
    if (head.length < 200) head += decoder.decode(chunk, { stream: true }).slice(0, 200);
    for (const byte of chunk) if (byte === 0x0a) lines += 1;
  }
  return { status: response.status, lines, head };
}

/** `make(index)` again and again, up to `length` characters. */
function repeated(length: number, make: (index: number) => string): string[] {
  const parts: string[] = [];
  for (let size = 0; size < length; size += (parts.at(-1)?.length ?? 0) + 1) parts.push(make(parts.length));
  return parts;
}

const lengths = [8000, 32_000] as const;
const cases = versions.flatMap((version) => lengths.map((length) => [version, length] as const));

describe.each(cases)('CKAN %s, %i characters', (version, length) => {
  const spellings = ['a', 'a DESC', '"a" desc nulls last', 'A'.toLowerCase(), 'a Asc NULLS first', '"a"'];
  const others = ['"N ulls" desc', 'b', 't nulls first', 'r', 'n DESC', 'f', 'ok', 'a', '_id desc'];

  test('a sort key as often as one likes decides once, and rows are made distinct in one order', async () => {
    const again = repeated(length, () => 'a').join(',');
    expect(await told(version, 'many', { sort: again, limit: '5' })).toMatchObject({ status: 200, lines: 6 });
    for (const parameters of [
      { sort: again, fields: 'a' },
      { sort: again, fields: 'b' },
      { sort: repeated(length, (index) => spellings[index % 6] ?? '').join(','), fields: 'b' },
      { sort: repeated(length, (index) => others[index % 9] ?? '').join(','), fields: 'b' },
      { sort: repeated(length, (index) => others[index % 9] ?? '').join(','), fields: 'b,t' },
    ]) {
      const answer = await told(version, 'many', { distinct: 'true', ...parameters });
      const groups = parameters.fields === 'b' ? 11 : parameters.fields === 'a' ? 7 : 55;
      expect([parameters.fields, answer.status, answer.lines]).toEqual([parameters.fields, 200, groups + 1]);
    }
  });

  test('a list of values of all types is compared as one set', async () => {
    const numbers = repeated(length, (index) => (index % 2 === 0 ? `${index}` : `${index}.5`));
    const mixed = repeated(
      length,
      (index) => [`${index}`, `${index}.25`, `"${index}"`, 'null'][index % 4] ?? '',
    );
    const endless = repeated(length, (index) =>
      index === 0 ? 'NaN' : index % 2 === 0 ? `${index}` : `3e${index % 30}`,
    );
    for (const [column, list] of [
      ['a', numbers],
      ['n', numbers],
      ['f', numbers],
      ['r', numbers],
      ['_id', numbers],
      ['a', mixed.filter((item) => !/^"\d+"$/.test(item))],
      ['n', mixed],
      ['f', endless],
      ['n', endless],
      ['b', [...mixed, '{"x":[1,[2,{}]]}'.repeat(version === '2.11' ? 1 : 0)].filter((item) => item !== '')],
      ['b', repeated(length, (index) => `"b${index}"`)],
      ['ta', repeated(length, (index) => `["x${index}"]`)],
    ] as const) {
      const asked = { filters: `{"${column}":[${list.join(',')}]}`, limit: '50000', fields: '_id' };
      const answer = await told(version, 'many', asked);
      expect([column, answer.status, answer.head.split('\n')[0]]).toEqual([column, 200, '_id\r']);
    }
  });

  test('values that fit no comparison are refused by name', async () => {
    for (const [column, item] of [
      ['ok', (index: number) => ['true', 'false', `${index}`][index % 3] ?? ''],
      ['t', (index: number) => ['"2020-01-01"', `${index}`][index % 2] ?? ''],
      ['a', (index: number) => ['true', `${index}`, `"${index}"`][index % 3] ?? ''],
      ['a', (index: number) => `[${index}]`],
      ['ta', (index: number) => (index === 0 ? `${'['.repeat(300)}${']'.repeat(300)}` : '1')],
    ] as const) {
      const asked = { filters: `{"${column}":[${repeated(length, item).join(',')}]}` };
      const answer = await told(version, 'many', asked);
      expect([column, answer.status, answer.head.split(':')[0]]).toEqual([column, 400, 'filters']);
    }
  });

  test('a column as often as one likes is refused by name, and 1,590 columns are ordered and made distinct', async () => {
    const fields = repeated(length, () => 'b').join(',');
    expect(await told(version, 'many', { fields })).toMatchObject({ status: 400 });
    const all = wide
      .join(',')
      .slice(0, length)
      .replace(/,[^,]*$/, '');
    for (const parameters of [
      { sort: all },
      { sort: all, distinct: 'true' },
      { sort: all, distinct: 'true', fields: 'c0' },
      { sort: all, distinct: 'true', fields: all },
      { fields: all, limit: '3' },
    ]) {
      const answer = await told(version, 'wide', parameters as Record<string, string>);
      expect([Object.keys(parameters), answer.status]).toEqual([Object.keys(parameters), 200]);
    }
  });

  test('as many searches and filters of single columns as fit', async () => {
    const q = repeated(length, (index) => `"c${index}":"1"`).slice(0, 1590);
    expect((await told(version, 'wide', { q: `{${q.join(',')}}` })).status).toBeOneOf([200, 400]);
    const filters = repeated(length, (index) => `"c${index}":${index}`).slice(0, 1590);
    expect((await told(version, 'wide', { filters: `{${filters.join(',')}}` })).status).toBeOneOf([200, 400]);
  });

  test('the process lives', async () => {
    const response = await fetch(`http://127.0.0.1:${services.get(version)?.port}/healthz`);
    expect(response.status).toBe(200);
  });
});
