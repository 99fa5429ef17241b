/**
 * P18 Secrets are never printed: canaries in every secret setting and credential, the real process at its most
 * talkative, asked every route with every fault; no canary in what it writes, answers, measures or keeps as a reason.
 */
import { afterAll, beforeAll, describe, expect, test, vi } from 'vitest';
import type { Setting } from '../../src/config/setting.ts';
import { settings } from '../../src/config/settings.ts';
import { startCkan, type FakeCkan } from '../world/fake-ckan.ts';
import { recordCount } from '../world/counts.ts';
import { eventually } from '../world/eventually.ts';
import { startFaultProxy } from '../world/fault-proxy.ts';
import { asAdmin } from '../world/postgres.ts';
import { startS3 } from '../world/s3.ts';
import { type Program, type ServiceFixture, serviceFixture, startProgram } from '../world/service.ts';

// processes are started, which takes long on a loaded machine
vi.setConfig({ testTimeout: 120_000, hookTimeout: 120_000 });

const s3 = await startS3();
const canary = (what: string): string => `canary-${what}-7f3a9c`;
const heard: string[] = [];

let world: ServiceFixture;
let ckan: FakeCkan;

beforeAll(async () => {
  world = await serviceFixture();
  ckan = await startCkan({ permissions: () => 200 });
  world.atEnd(() => ckan.stop());
  if (!('skipped' in s3)) world.atEnd(() => s3.stop());
  await world.createTable('secretive', 20);
});
afterAll(() => world?.end());

/** The superuser in the database of `url`. */
function adminOf(url: string): string {
  const made = new URL(world.database.adminUrl);
  made.pathname = new URL(url).pathname;
  return made.href;
}

/** A role whose password is a canary; the tests' own server trusts or checks it as it likes. */
async function withCanary(url: string, role: string): Promise<string> {
  const made = new URL(url);
  await asAdmin(world.database.adminUrl, (admin) =>
    admin.query(`CREATE ROLE "${role}" LOGIN PASSWORD '${canary(role)}' IN ROLE "${made.username}"`),
  );
  const there = adminOf(url);
  world.atEnd(() =>
    asAdmin(there, (admin) => admin.query(`DROP OWNED BY "${role}" CASCADE; DROP ROLE "${role}"`)),
  );
  [made.username, made.password] = [role, canary(role)];
  return made.href;
}

async function secretSettings(): Promise<Record<string, string>> {
  const tail = Math.random().toString(36).slice(2, 8);
  return {
    CKAN_DATASTORE_READ_URL: await withCanary(world.database.readUrl, `reader_${tail}`),
    CKAN_DATASTORE_WRITE_URL: await withCanary(world.database.writeUrl, `writer_${tail}`),
    DUMPER_STATE_URL: await withCanary(world.database.stateUrl, `state_${tail}`),
    CKAN_API_TOKEN: canary('api-token'),
    CKAN_REDIS_URL: `redis://user:${canary('redis')}@127.0.0.1:1/0`,
    DUMPER_NOTICE_SECRET: canary('notice'),
    DUMPER_ADMIN_TOKEN: canary('admin'),
    DUMPER_BLOB_URL_SECRET: canary('blob-url'),
    DUMPER_AUTHORIZE: 'ckan',
    CKAN_SITE_URL: ckan.url,
    DUMPER_LOG_LEVEL: 'trace',
  };
}

const credentials = {
  authorization: canary('caller-token'),
  cookie: `ckan=${canary('session')}; auth_tkt=${canary('ticket')}`,
};

/** Every route, rightly and wrongly; what is answered is kept, the callers' own redirects left out. */
async function askEverything(base: string): Promise<number> {
  const admin = { authorization: `Bearer ${canary('admin')}` };
  const dump = `${base}/datastore/dump/secretive`;
  const asked: [string, RequestInit][] = [
    [dump, { headers: credentials }],
    [`${dump}?latest=true&format=json`, { headers: credentials }],
    [`${dump}?filters=nonsense`, { headers: credentials }],
    [`${dump}?signature=${canary('query')}&token=${canary('query')}`, { headers: credentials }],
    [`${base}/datastore/dump/unknown`, { headers: credentials }],
    [`${base}/status`, { headers: admin }],
    [`${base}/status/secretive`, { headers: credentials }],
    [`${base}/status/secretive/rebuild`, { method: 'POST', headers: admin }],
    [`${base}/status/secretive/rebuild`, { method: 'POST', headers: credentials }],
    [`${base}/notices`, { method: 'POST', body: '{}', headers: { 'x-dumper-signature': canary('forged') } }],
    [`${base}/tables/secretive`, { headers: credentials }],
    [`${base}/`, { headers: credentials }],
    [`${base}/readyz`, {}],
    [`${base}/metrics`, {}],
    [`${base}/blobs/x?signature=${canary('query')}`, {}],
  ];
  for (const [url, init] of asked) {
    const answer = await fetch(url, { ...init, redirect: 'manual' });
    const headers = [...answer.headers].filter(([name]) => name !== 'location');
    heard.push(`${url} ${answer.status} ${JSON.stringify(headers)} ${await answer.text()}`);
  }
  return asked.length;
}

function noCanary(program: Program): void {
  expect(program.text().length).toBeGreaterThan(1000);
  for (const text of [program.text(), ...heard.map((one) => one.slice(one.indexOf(' ')))]) {
    const found = [...text.matchAll(/.{0,80}canary-[\w-]+/g)].map(([match]) => match);
    expect(found).toEqual([]);
  }
}

async function keptReasons(): Promise<string> {
  const { rows } = await asAdmin(adminOf(world.database.stateUrl), (state) =>
    state.query(`SELECT last_error FROM dumper.publication WHERE last_error IS NOT NULL`),
  );
  return JSON.stringify(rows);
}

test('P18 every setting that names a password, key or token is marked as a secret', () => {
  const telling = Object.entries<Setting>(settings).filter(([name]) =>
    /SECRET|TOKEN$|PASSWORD|(READ|WRITE|STATE|REDIS)_URL/.test(name),
  );
  expect(telling.length).toBeGreaterThan(7);
  for (const [name, { secret }] of telling) expect(secret, name).toBe(true);
});

describe.skipIf('skipped' in s3)('P18 secrets are never printed', () => {
  test('by the running process, well and with every neighbour gone, nor by its end', async () => {
    if ('skipped' in s3) return;
    const given = await secretSettings();
    const proxies = await Promise.all(
      [given['CKAN_DATASTORE_READ_URL'], given['DUMPER_STATE_URL'], s3.endpoint].map((url) => {
        const { hostname, port } = new URL(url ?? '');
        return startFaultProxy({ host: hostname, port: Number(port) });
      }),
    );
    for (const proxy of proxies) world.atEnd(() => proxy.stop());
    const [datastore, state, store] = proxies as [
      (typeof proxies)[0],
      (typeof proxies)[0],
      (typeof proxies)[0],
    ];
    const program = await startProgram({
      ...world.settings,
      ...s3.environment,
      ...given,
      CKAN_DATASTORE_READ_URL: datastore?.through(given['CKAN_DATASTORE_READ_URL'] ?? '') ?? '',
      DUMPER_STATE_URL: state?.through(given['DUMPER_STATE_URL'] ?? '') ?? '',
      AWS_ENDPOINT_URL_S3: store?.url ?? '',
      DUMPER_BLOB_STORE: `s3://${await s3.createBucket()}/dumps`,
    });
    world.atEnd(async () => {
      program.child.kill('SIGKILL');
      await program.exited;
    });
    await eventually(
      'a redirect',
      async () => {
        const answer = await fetch(`${program.base}/datastore/dump/secretive`, {
          redirect: 'manual',
          headers: credentials,
        });
        return answer.status === 302;
      },
      { seconds: 25 },
    );
    let questions = await askEverything(program.base);
    for (const strike of [
      () => store?.set({ refuse: true }),
      () => state?.set({ refuse: true }),
      () => datastore?.set({ refuse: true }),
      () => ckan.setFault('error'),
    ]) {
      strike();
      for (const proxy of proxies) proxy.reset();
      questions += await askEverything(program.base);
    }
    for (const proxy of proxies) proxy.pass();
    ckan.setFault(null);
    program.child.kill('SIGTERM');
    expect(await program.exited).toBe(0);
    noCanary(program);
    expect(await keptReasons()).not.toContain('canary');
    expect(program.text()).not.toContain(s3.environment['AWS_SECRET_ACCESS_KEY']);
    recordCount('P18', 'questions with canaries in every secret', questions);
  });

  test('by doctor, and by faults of the settings', async () => {
    const given = await secretSettings();
    const doctor = await startProgram(
      {
        ...world.settings,
        ...given,
        CKAN_SITE_URL: 'http://127.0.0.1:1',
        DUMPER_STATE_URL: `postgresql://x:${canary('x')}@127.0.0.1:1/x`,
      },
      ['doctor'],
    ).catch((error: unknown) => String(error));
    expect(doctor).toContain('[FAIL]');
    expect(doctor).not.toContain('canary');
    const misspelt = await startProgram({
      ...world.settings,
      ...given,
      CKAN_DATASTORE_READ_URL: `mysql://x:${canary('mysql')}@db/x`,
      DUMPER_BLOB_URL_SECRET: 'short-canary',
      DUMPER_PROT: canary('typo'),
    }).catch((error: unknown) => String(error));
    expect(misspelt).toContain('DUMPER_PROT: no such setting');
    expect(misspelt).not.toContain('canary');
  });
});
