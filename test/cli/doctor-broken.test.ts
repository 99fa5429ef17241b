/** `doctor` against broken setups, each with one fault: it is told, once, and nothing else is. */
import { createServer, type RequestListener } from 'node:http';
import { once } from 'node:events';
import { createServer as createTcpServer, type AddressInfo, type Server } from 'node:net';
import { readdir } from 'node:fs/promises';
import { fileURLToPath } from 'node:url';
import { afterAll, afterEach, beforeAll, describe, expect, it, vi } from 'vitest';
import { freePort } from '../world/free-port.ts';
import { asAdmin, freshDatabase, type Database } from '../world/postgres.ts';
import { serviceFixture, type ServiceFixture } from '../world/service.ts';
import { examined } from './examined.ts';

// one of them waits for a deadline of 10 s
vi.setConfig({ testTimeout: 60_000 });

let installation: ServiceFixture;
let other: Database;
const undo: (() => Promise<unknown>)[] = [];

beforeAll(async () => {
  installation = await serviceFixture({ settings: { DUMPER_AUTHORIZE: 'off' } });
  await installation.createTable('trees', 3);
  other = await freshDatabase();
});
afterEach(async () => {
  for (const step of undo.splice(0).toReversed()) await step();
});
afterAll(async () => {
  await other.drop();
  await installation.end();
});

async function listening(server: Server): Promise<number> {
  server.listen(0, '127.0.0.1');
  await once(server, 'listening');
  undo.push(() => new Promise((resolve) => server.close(resolve)));
  return (server.address() as AddressInfo).port;
}

async function serving(answer: RequestListener): Promise<string> {
  const server = createServer((incoming, outgoing) => {
    outgoing.setHeader('Connection', 'close');
    answer(incoming, outgoing);
  });
  return `http://127.0.0.1:${await listening(server)}`;
}

/** Takes connections and says nothing. */
async function silent(): Promise<number> {
  const sockets = new Set<{ destroy(): unknown }>();
  const port = await listening(
    createTcpServer((socket) => void sockets.add(socket.on('error', () => undefined))),
  );
  undo.push(async () => sockets.forEach((socket) => socket.destroy()));
  return port;
}

const withoutBlobs = (): Record<string, string> => {
  const { CKAN_DATASTORE_READ_URL: read = '' } = installation.settings;
  return { CKAN_DATASTORE_READ_URL: read, DUMPER_AUTHORIZE: 'off' };
};
const changed = (
  url: string | undefined,
  change: Partial<Pick<URL, 'username' | 'password' | 'port'>>,
): string => Object.assign(new URL(url ?? ''), change).href;
/** A CKAN that knows one token as a sysadmin's. */
const ckan = (token: string): Promise<string> =>
  serving((incoming, outgoing) => {
    const allowed =
      incoming.url?.endsWith('/config_option_list') !== true || incoming.headers.authorization === token;
    const result = { ckan_version: '2.12.0' };
    outgoing.writeHead(allowed ? 200 : 403, { 'content-type': 'application/json' });
    outgoing.end(JSON.stringify(allowed ? { success: true, result } : { success: false, error: {} }));
  });

describe('a sound setup', () => {
  it('fails in nothing, and leaves nothing in the store', async () => {
    const { base } = await installation.start({ DUMPER_PUBLIC_BLOB_URL: 'http://127.0.0.1/blobs' });
    const site = await ckan('right');
    const sound = await examined({
      ...installation.settings,
      DUMPER_AUTHORIZE: 'ckan',
      CKAN_SITE_URL: site,
      CKAN_API_TOKEN: 'right',
      DUMPER_PUBLIC_BLOB_URL: `${base}/blobs`,
    });
    expect(sound.failed, sound.text).toEqual([]);
    expect(sound.text).toContain('[ ok ] public blob URL: a blob was put there and read back through it');
    expect(sound.text).toContain("[ ok ] CKAN API token: it is a sysadmin's");
    expect(sound.text).toContain('[ ok ] DataStore, one database: both roles');
    const store = fileURLToPath(installation.settings['DUMPER_BLOB_STORE'] ?? '');
    expect((await readdir(store, { recursive: true })).filter((name) => name.includes('doctor'))).toEqual([]);
  });
});

interface Broken {
  readonly name: string;
  readonly environment: () => Promise<Record<string, string>>;
  readonly subject: string;
  readonly says: RegExp;
}

const publicUrl = (status: number, body = ''): Broken => ({
  name: `a public blob URL that answers ${status}${body === '' ? '' : ' with other bytes'}`,
  environment: async () => ({
    ...withoutBlobs(),
    DUMPER_BLOB_STORE: installation.settings['DUMPER_BLOB_STORE'] ?? '',
    DUMPER_PUBLIC_BLOB_URL: await serving((_incoming, outgoing) => outgoing.writeHead(status).end(body)),
  }),
  subject: 'public blob URL',
  says: status === 200 ? /other bytes/ : new RegExp(`answers ${status} for a blob that lies there`),
});

const broken: Broken[] = [
  ...[401, 403, 404, 500].map((status) => publicUrl(status)),
  publicUrl(200, 'Welcome'),
  {
    name: 'a public blob URL where nothing listens',
    environment: async () => ({
      ...withoutBlobs(),
      DUMPER_BLOB_STORE: installation.settings['DUMPER_BLOB_STORE'] ?? '',
      DUMPER_PUBLIC_BLOB_URL: `http://127.0.0.1:${await freePort()}`,
    }),
    subject: 'public blob URL',
    says: /ECONNREFUSED/,
  },
  {
    name: "a read URL that is CKAN's main database",
    environment: async () => {
      const main = await freshDatabase();
      undo.push(() => main.drop());
      await asAdmin(main.writeUrl, (owner) =>
        owner.query(`DROP VIEW IF EXISTS _table_metadata;
          CREATE TABLE package (id text); CREATE TABLE resource (id text); CREATE TABLE "user" (id text)`),
      );
      return { ...withoutBlobs(), CKAN_DATASTORE_READ_URL: main.readUrl };
    },
    subject: 'DataStore',
    says: /is CKAN's main database.*not the DataStore/,
  },
  {
    name: "a read URL that is a superuser's",
    environment: async () => ({ ...withoutBlobs(), CKAN_DATASTORE_READ_URL: installation.database.adminUrl }),
    subject: 'DataStore, read role',
    says: /is a superuser/,
  },
  {
    name: 'a read URL with a role that is not there',
    environment: async () => ({
      ...withoutBlobs(),
      CKAN_DATASTORE_READ_URL: changed(installation.settings['CKAN_DATASTORE_READ_URL'], {
        username: 'nobody_here',
      }),
    }),
    subject: 'DataStore',
    says: /nobody_here/,
  },
  {
    name: 'a read URL where nothing listens',
    environment: async () => ({
      ...withoutBlobs(),
      CKAN_DATASTORE_READ_URL: `postgresql://u:p@127.0.0.1:${await freePort()}/d`,
    }),
    subject: 'DataStore',
    says: /ECONNREFUSED/,
  },
  {
    name: 'a read URL where something listens and says nothing',
    environment: async () => ({
      ...withoutBlobs(),
      CKAN_DATASTORE_READ_URL: `postgresql://u:p@127.0.0.1:${await silent()}/d`,
    }),
    subject: 'DataStore',
    says: /timeout|no answer/,
  },
  {
    name: 'a write URL of another database',
    environment: async () => ({ ...withoutBlobs(), CKAN_DATASTORE_WRITE_URL: other.writeUrl }),
    subject: 'DataStore, one database',
    says: /leads to another database/,
  },
  {
    name: 'a write URL of a role that owns nothing',
    environment: async () => ({
      ...withoutBlobs(),
      CKAN_DATASTORE_WRITE_URL: installation.settings['CKAN_DATASTORE_READ_URL'] ?? '',
    }),
    subject: 'DataStore, write role',
    says: /does not own 1 of the tables/,
  },
  {
    name: 'a state URL whose role may not create',
    environment: async () => ({
      ...withoutBlobs(),
      DUMPER_STATE_URL: installation.settings['CKAN_DATASTORE_READ_URL'] ?? '',
    }),
    subject: 'state database',
    says: /permission denied/,
  },
  {
    name: 'a garbage API token',
    environment: async () => ({
      ...withoutBlobs(),
      CKAN_SITE_URL: await ckan('right'),
      CKAN_API_TOKEN: 'garbage',
    }),
    subject: 'CKAN API token',
    says: /CKAN refuses it \(403\)/,
  },
  {
    name: 'a CKAN that shows a login page',
    environment: async () => ({
      ...withoutBlobs(),
      DUMPER_AUTHORIZE: 'ckan',
      CKAN_API_TOKEN: 'right',
      CKAN_SITE_URL: await serving((_incoming, outgoing) => outgoing.end('<html>Log in')),
    }),
    subject: 'CKAN',
    says: /without JSON/,
  },
  {
    name: 'a Redis that is closed',
    environment: async () => ({ ...withoutBlobs(), CKAN_REDIS_URL: `redis://127.0.0.1:${await freePort()}` }),
    subject: 'Redis',
    says: /ECONNREFUSED/,
  },
  {
    name: 'a Redis that says nothing',
    environment: async () => ({ ...withoutBlobs(), CKAN_REDIS_URL: `redis://127.0.0.1:${await silent()}` }),
    subject: 'Redis',
    says: /no answer within 10 s/,
  },
  {
    name: 'a store under /proc',
    environment: async () => ({
      ...withoutBlobs(),
      DUMPER_BLOB_STORE: 'file:///proc/nope/blobs',
      DUMPER_PUBLIC_BLOB_URL: 'http://127.0.0.1:1',
    }),
    subject: 'blob store',
    says: /ENOENT.*\/proc\/nope/,
  },
];

describe('a broken setup', () => {
  it.each(broken)('$name: it is told once, as the one cause', async ({ environment, subject, says }) => {
    const { code, text, failed } = await examined(await environment());
    expect(failed, text).toEqual([subject]);
    expect(code).toBe(1);
    const line = text.split('\n').find((found) => found.startsWith('[FAIL]'));
    expect(line).toMatch(says);
  });

  it('what cannot be asked because of it is left out, and the cause is named', async () => {
    const url = changed(installation.settings['CKAN_DATASTORE_READ_URL'], { username: 'nobody_here' });
    const { text } = await examined({ ...installation.settings, CKAN_DATASTORE_READ_URL: url });
    for (const subject of ['DataStore, read role', 'change journal', 'DataStore, one database', 'clock']) {
      expect(text).toContain(`[ -- ] ${subject}: cannot be asked before this is right: DataStore\n`);
    }
  });
});
