/**
 * P21 Started before its neighbours: whatever is down, missing or refused at start is named by `/readyz` with its
 * reason, and the service recovers by itself when it comes up.
 */
import { afterEach, describe, expect, test, vi } from 'vitest';
import { CreateBucketCommand, S3Client } from '@aws-sdk/client-s3';
import { startService, type Service } from '../src/app/service.ts';
import { readConfig } from '../src/config/config.ts';
import { createLog } from '../src/log.ts';
import { eventually } from './world/eventually.ts';
import { freePort } from './world/free-port.ts';
import { asAdmin, freshDatabase, type Database } from './world/postgres.ts';
import { startS3 } from './world/s3.ts';

// Measured with a busy machine, and room beyond.
vi.setConfig({ testTimeout: 90_000 });

const s3 = await startS3();
const undo: (() => Promise<unknown>)[] = [];

afterEach(async () => {
  for (const step of undo.splice(0).toReversed()) await step();
});

interface Readiness {
  readonly status: number;
  readonly dependencies: Readonly<Record<string, { readonly ok: boolean; readonly detail: string }>>;
}

async function readiness(base: string): Promise<Readiness> {
  const response = await fetch(`${base}/readyz`);
  const body = (await response.json()) as { dependencies: Readiness['dependencies'] };
  return { status: response.status, dependencies: body.dependencies };
}

async function started(parts: Record<string, string>): Promise<string> {
  const environment = {
    DUMPER_AUTHORIZE: 'off',
    DUMPER_HOST: '127.0.0.1',
    DUMPER_PORT: '0',
    DUMPER_QUIET_SECONDS: '0',
    ...parts,
  };
  const service: Service = await startService(environment, readConfig(environment, ['read', 'publish']), {
    log: createLog('silent'),
  });
  undo.push(() => service.stop());
  return `http://127.0.0.1:${service.port}`;
}

async function database(): Promise<Database> {
  const fresh = await freshDatabase();
  undo.push(() => fresh.drop());
  await asAdmin(fresh.writeUrl, (owner) =>
    owner.query(
      `CREATE TABLE public."start" (_id serial PRIMARY KEY, a text); INSERT INTO public."start" (a) VALUES ('x')`,
    ),
  );
  return fresh;
}

const publishes = (base: string): Promise<unknown> =>
  eventually(
    'the table is published',
    async () => {
      const status = (await (await fetch(`${base}/status/start`)).json()) as { published_at: string | null };
      return status.published_at;
    },
    { seconds: 25 },
  );

describe.skipIf('skipped' in s3)('P21 the blob store', () => {
  test('a bucket that does not exist is named, and used once it is there', async () => {
    if ('skipped' in s3) return;
    const { readUrl, stateUrl } = await database();
    const bucket = `late-${process.pid}`;
    const base = await started({
      ...s3.environment,
      CKAN_DATASTORE_READ_URL: readUrl,
      DUMPER_STATE_URL: stateUrl,
      DUMPER_BLOB_STORE: `s3://${bucket}/dumps`,
    });
    const before = await eventually('readiness', () => readiness(base), { seconds: 25 });
    expect(before.status).toBe(503);
    expect(before.dependencies['blob store']).toMatchObject({
      ok: false,
      detail: expect.stringContaining(bucket),
    });
    expect(before.dependencies['datastore']).toMatchObject({ ok: true });
    expect((await fetch(`${base}/datastore/dump/start`)).status).toBe(200);
    const client = new S3Client({
      endpoint: s3.endpoint,
      region: 'us-east-1',
      forcePathStyle: true,
      credentials: {
        accessKeyId: s3.environment['AWS_ACCESS_KEY_ID'] ?? '',
        secretAccessKey: s3.environment['AWS_SECRET_ACCESS_KEY'] ?? '',
      },
    });
    await client.send(new CreateBucketCommand({ Bucket: bucket }));
    client.destroy();
    await eventually('ready', async () => (await readiness(base)).status === 200, { seconds: 25 });
    await fetch(`${base}/datastore/dump/start`);
    await publishes(base);
  });
});

describe('P21 Postgres', () => {
  test('a state database that refuses the password is named, and used once it lets us in', async () => {
    const { readUrl, stateUrl, adminUrl } = await database();
    const role = `late_${process.pid}`;
    const url = new URL(stateUrl);
    [url.username, url.password] = [role, 'right'];
    await asAdmin(adminUrl, async (admin) => {
      await admin.query(`CREATE ROLE ${role} LOGIN PASSWORD 'wrong' IN ROLE datastore_dumper`);
    });
    const base = await started({
      CKAN_DATASTORE_READ_URL: readUrl,
      DUMPER_STATE_URL: url.href,
      DUMPER_BLOB_STORE: 'file:///tmp/dumper-start-test',
    });
    const before = await eventually('the reason', async () => {
      const seen = await readiness(base);
      return /password/.test(seen.dependencies['state database']?.detail ?? '') ? seen : null;
    });
    expect(before.status).toBe(503);
    expect((await fetch(`${base}/datastore/dump/start`)).status).toBe(200);
    await asAdmin(adminUrl, (admin) => admin.query(`ALTER ROLE ${role} PASSWORD 'right'`));
    await eventually('ready', async () => (await readiness(base)).status === 200, { seconds: 25 });
  });

  test('a DataStore that is down is named, answers 503 meanwhile', async () => {
    const { stateUrl } = await database();
    const port = await freePort();
    const base = await started({
      CKAN_DATASTORE_READ_URL: `postgresql://nobody:secret@127.0.0.1:${port}/nothing`,
      DUMPER_STATE_URL: stateUrl,
      DUMPER_BLOB_STORE: 'file:///tmp/dumper-start-test',
    });
    const seen = await readiness(base);
    expect(seen.dependencies['datastore']).toMatchObject({ ok: false });
    expect(JSON.stringify(seen)).not.toContain('secret');
    const answer = await fetch(`${base}/datastore/dump/start`);
    expect(answer.status).toBe(503);
    expect(Number(answer.headers.get('retry-after'))).toBeGreaterThan(0);
    expect((await fetch(`${base}/healthz`)).status).toBe(200);
  });
});
