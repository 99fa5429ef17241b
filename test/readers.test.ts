/**
 * Who may read a table changes while the whole service runs: public files go at once, by whatever way the change is
 * found, and come back when it is public again (promise P10). Two servers of the same bucket stand for the CDN.
 */
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { pathToFileURL } from 'node:url';
import { Client } from 'pg';
import { afterEach, describe, expect, it, vi } from 'vitest';
import { startService, type Service } from '../src/app/service.ts';
import { installTriggers } from '../src/change/journal.ts';
import { readConfig } from '../src/config/config.ts';
import { createLog } from '../src/log.ts';
import { freePort } from './world/free-port.ts';
import { rightsOver, startCkan, type FakeCkan, type TableRights } from './world/fake-ckan.ts';
import { recordCount } from './world/counts.ts';
import { eventually } from './world/eventually.ts';
import { freshDatabase } from './world/postgres.ts';
import { ask } from './serve/serving.ts';

// publications and sweeps, one after the other
vi.setConfig({ testTimeout: 180_000, hookTimeout: 60_000 });

const table = 'f1100000-0000-4000-8000-000000000001';
const member = { headers: { authorization: 'token-member' } };
const ending: (() => Promise<unknown>)[] = [];
afterEach(async () => {
  for (const end of ending.splice(0).toReversed()) await end();
});

interface Told {
  readonly entity_id: string;
  readonly state: string;
  readonly value: string;
  readonly error: string;
  readonly key: string;
  readonly task_type: string;
}

interface Portal {
  readonly url: string;
  readonly sidecar: Service;
  readonly ckan: FakeCkan;
  readonly rights: TableRights;
  readonly told: Told[];
  readonly owner: Client;
}

async function startPortal(environment: Readonly<Record<string, string>> = {}): Promise<Portal> {
  const database = await freshDatabase();
  const directory = await mkdtemp(path.join(tmpdir(), 'dumper-readers-'));
  ending.push(async () => {
    await database.drop();
    await rm(directory, { recursive: true, force: true });
  });
  const owner = new Client({ connectionString: database.writeUrl });
  await owner.connect();
  ending.push(() => owner.end());
  await owner.query(`CREATE TABLE "${table}" (_id serial PRIMARY KEY, _full_text tsvector, n int4);
    INSERT INTO "${table}" (n) SELECT generate_series(1, 50)`);
  await installTriggers(owner, { readRole: 'datastore_default', lockSeconds: 5 });
  const rights: TableRights = { private: false, state: 'active' };
  const told: Told[] = [];
  const ckan = await startCkan({
    permissions: rightsOver(new Map([[table, rights]])),
    actions: {
      package_search: (given, who) => {
        const seen = who === 'anonymous' && !rights.private && rights.state === 'active';
        const results = seen && given['start'] === '0' ? [{ resources: [{ id: table }] }] : [];
        return { count: seen ? 1 : 0, results };
      },
      task_status_update: (given, who) => {
        if (who !== 'sysadmin') return null;
        told.push(given as unknown as Told);
        return given;
      },
    },
  });
  ending.push(() => ckan.stop());
  const port = await freePort();
  const url = `http://127.0.0.1:${port}`;
  const settings = {
    CKAN_DATASTORE_READ_URL: database.readUrl,
    CKAN_DATASTORE_WRITE_URL: database.writeUrl,
    CKAN_SITE_URL: ckan.url,
    CKAN_API_TOKEN: 'token-sysadmin',
    DUMPER_STATE_URL: database.stateUrl,
    DUMPER_BLOB_STORE: pathToFileURL(directory).href,
    DUMPER_PUBLIC_BLOB_URL: `${url}/blobs`,
    DUMPER_FORMATS: 'csv,json',
    DUMPER_QUIET_SECONDS: '0',
    DUMPER_HOT_TABLE_FACTOR: '0',
    DUMPER_DECISION_CACHE_SECONDS: '0',
    DUMPER_SWEEP_CRON: '0 0 1 1 *',
    DUMPER_HOST: '127.0.0.1',
    DUMPER_PORT: String(port),
    ...environment,
  };
  const sidecar = await startService(settings, readConfig(settings, ['read', 'site', 'publish']), {
    log: createLog('silent'),
  });
  ending.push(() => sidecar.stop());
  return { url, sidecar, ckan, rights, told, owner };
}

const dump = ({ url }: Portal, query = ''): string => `${url}/datastore/dump/${table}${query}`;

/** The public file, once the dump redirects to it. */
async function publicFile(portal: Portal): Promise<string> {
  return eventually(
    'the dump has a public address',
    async () => {
      const { status, headers } = await ask(dump(portal));
      const location = headers.get('location') ?? '';
      return status === 302 && location.includes('/blobs/public/') ? location : null;
    },
    { seconds: 60 },
  );
}

const gone = (file: string): Promise<unknown> =>
  eventually('the public file is gone', async () => (await ask(file)).status === 404, { seconds: 60 });

const losses: readonly [string, (rights: TableRights) => void, (rights: TableRights) => void][] = [
  ['private', (rights) => (rights.private = true), (rights) => (rights.private = false)],
  ['deleted', (rights) => (rights.state = 'deleted'), (rights) => (rights.state = 'active')],
  ['a draft', (rights) => (rights.state = 'draft'), (rights) => (rights.state = 'active')],
];

describe('P10: who may read a table has changed', () => {
  it('made private, deleted, a draft, and given back: every path follows, the CDN path too', async () => {
    const portal = await startPortal();
    let flips = 0;
    for (const [, lose, gain] of losses) {
      const file = await publicFile(portal);
      expect((await ask(file)).status).toBe(200);
      lose(portal.rights);
      expect((await ask(dump(portal))).status).toBe(404);
      expect((await ask(`${portal.url}/status/${table}`)).status).toBe(404);
      await gone(file);
      const refused = await Promise.all(
        ['', '?limit=1', '?redirect=false', '?latest=true', '?format=json'].flatMap((query) =>
          ['GET', 'HEAD'].map((method) => ask(dump(portal, query), { method })),
        ),
      );
      expect(refused.map(({ status }) => status)).toEqual(refused.map(() => 404));
      const signed = await eventually(
        'members are redirected to a signed address',
        async () => {
          const { status, headers } = await ask(dump(portal), member);
          return status === 302 ? headers : null;
        },
        { seconds: 60 },
      );
      expect(signed.get('location')).toMatch(/^\/blobs\/f1100000.*signature=/);
      expect(signed.get('cache-control')).toBe('private, no-store');
      expect((await ask(file)).status).toBe(404);
      gain(portal.rights);
      flips += 2;
    }
    const file = await publicFile(portal);
    expect((await ask(file)).status).toBe(200);
    recordCount('P10', 'changes of who may read', flips);
  });

  it('nobody asks: the sweep finds it in few questions, and changes nothing while CKAN is down', async () => {
    const portal = await startPortal({ DUMPER_SWEEP_CRON: '* * * * * *' });
    const file = await publicFile(portal);
    portal.ckan.setFault('error');
    portal.rights.private = true;
    await eventually('sweeps met CKAN down', () => portal.ckan.faulted() > 3, { seconds: 60 });
    expect((await ask(file)).status).toBe(200);
    portal.ckan.setFault(null);
    await gone(file);
    portal.rights.private = false;
    await publicFile(portal);
  });

  it('a table of no public address is kept, and its readers get it by signed ones', async () => {
    const portal = await startPortal({ DUMPER_PUBLIC_BLOB_URL: '' });
    const revision = async (): Promise<string | null> => {
      const { status, headers } = await ask(dump(portal), member);
      return status === 302 ? headers.get('x-dump-revision') : null;
    };
    const before = await eventually('published', revision, { seconds: 60 });
    expect((await ask(dump(portal))).headers.get('cache-control')).toBe('private, no-store');
    portal.rights.private = true;
    expect((await ask(dump(portal))).status).toBe(404);
    expect(await revision()).toBe(before);
  });
});

describe('what became of a publication is told to CKAN', () => {
  const state = ({ told }: Portal): string | undefined => told.at(-1)?.state;

  it('pending, complete, error with its reason; of private tables no number', async () => {
    const portal = await startPortal();
    await publicFile(portal);
    await eventually('complete', () => state(portal) === 'complete', { seconds: 60 });
    expect(portal.told[0]?.state).toBe('pending');
    const complete = portal.told.at(-1);
    expect(complete).toMatchObject({
      entity_id: table,
      entity_type: 'resource',
      task_type: 'datastore_dumper',
      key: 'publication',
      error: '',
    });
    expect(JSON.parse(complete?.value ?? '')).toMatchObject({ rows: 50 });
    portal.rights.private = true;
    expect((await ask(dump(portal))).status).toBe(404);
    await eventually('published anew', async () => (await ask(dump(portal), member)).status === 302, {
      seconds: 60,
    });
    await eventually('told', () => state(portal) === 'complete' && portal.told.length > 2, { seconds: 60 });
    expect(JSON.parse(portal.told.at(-1)?.value ?? '')).not.toHaveProperty('rows');
    portal.rights.private = false;
    await portal.owner.query(`REVOKE SELECT ON "${table}" FROM datastore_default`);
    await portal.owner.query(`INSERT INTO "${table}" (n) VALUES (51)`);
    const broken = await eventually('error', () => portal.told.find((word) => word.state === 'error'), {
      seconds: 60,
    });
    expect(broken.error).toContain('permission denied');
    for (const { headers, action } of portal.ckan.asked) {
      if (action !== 'task_status_update') expect(headers.authorization).not.toBe('token-sysadmin');
    }
  });
});
