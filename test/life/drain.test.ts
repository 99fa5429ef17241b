/**
 * P20 SIGTERM drains the real process in mid-everything: ten downloads and two publications in flight. No new work,
 * live answers get their grace, publications end or are aborted cleanly; exit 0; a second signal exits at once.
 */
import { createHash } from 'node:crypto';
import { connect } from 'node:net';
import { afterEach, beforeEach, describe, expect, test, vi } from 'vitest';
import { recordCount } from '../world/counts.ts';
import { eventually } from '../world/eventually.ts';
import { startFaultProxy, type FaultProxy } from '../world/fault-proxy.ts';
import { asAdmin } from '../world/postgres.ts';
import { startSlowClient, type SlowClient } from '../world/slow-client.ts';
import type { Settings } from '../world/installation.ts';
import { type Program, serviceFixture, type ServiceFixture, startProgram } from '../world/service.ts';

// processes that are drained while publications and downloads are at work
vi.setConfig({ testTimeout: 180_000, hookTimeout: 60_000 });

const downloads = 10;
const tables = ['drain-1', 'drain-2'];

let world: ServiceFixture;
let link: FaultProxy;

beforeEach(async () => {
  world = await serviceFixture();
  const { hostname, port } = new URL(world.database.readUrl);
  link = await startFaultProxy({ host: hostname, port: Number(port) });
  world.atEnd(() => link.stop());
  // more than the buffers of two sockets hold, so that a client who reads nothing holds its answer up
  await world.createTable('drain-live', 60_000);
  for (const name of tables) await world.createTable(name, 30_000);
});
afterEach(() => world.end());

async function start(settings: Settings): Promise<Program> {
  const program = await startProgram({
    ...world.settings,
    CKAN_DATASTORE_READ_URL: link.through(world.database.readUrl),
    DUMPER_LIVE_SLOTS: String(downloads),
    DUMPER_PUBLISH_SLOTS: '4',
    ...settings,
  });
  world.atEnd(async () => {
    program.child.kill('SIGKILL');
    await program.exited;
  });
  return program;
}

interface Midst {
  readonly clients: readonly SlowClient[];
  /** What is published of each table, before the publications in flight. */
  readonly published: ReadonlyMap<string, string>;
}

/** Ten downloads that have begun and stand still, then two publications whose COPY is slow. */
async function inMidEverything({ base }: Program): Promise<Midst> {
  const published = new Map<string, string>();
  for (const name of [...tables, 'drain-live']) {
    const manifest = await eventually(`${name} is published`, () => world.manifest(name), { seconds: 60 });
    published.set(name, manifest.revision);
  }
  const clients = Array.from({ length: downloads }, () =>
    startSlowClient(`${base}/datastore/dump/drain-live?latest=true`, { bytesPerSecond: 0 }),
  );
  await eventually(
    'ten live answers',
    async () =>
      (await (await fetch(`${base}/metrics`)).text()).includes(
        `datastore_dumper_live_slots_busy ${downloads}`,
      ),
    { seconds: 60 },
  );
  link.set({ bytesPerSecond: 100_000 });
  for (const name of tables) await world.asOwner(`UPDATE public."${name}" SET n = 0 WHERE _id = 1`);
  await eventually(
    'two publications',
    async () => {
      const { rows } = await asAdmin(world.database.stateUrl, (state) =>
        state.query<{ id: string }>(
          `SELECT id FROM dumper.publication WHERE life = 'building' AND holder IS NOT NULL AND id = ANY($1)`,
          [tables],
        ),
      );
      return rows.length === 2;
    },
    { seconds: 60 },
  );
  return { clients, published };
}

const refusesConnections = (base: string): Promise<unknown> =>
  eventually(
    'no new connections',
    async () => {
      const socket = connect(Number(new URL(base).port), '127.0.0.1');
      return new Promise<boolean>((resolve) => {
        socket.once('connect', () => resolve(false)).once('error', () => resolve(true));
      }).finally(() => socket.destroy());
    },
    { seconds: 60 },
  );

const backends = async (): Promise<number> => {
  const { rows } = await asAdmin(world.database.adminUrl, (admin) =>
    admin.query<{ count: number }>(
      `SELECT count(*)::int AS count FROM pg_stat_activity WHERE application_name LIKE 'datastore-dumper%'
         AND datname IN ($1, $2)`,
      [world.database.readUrl, world.database.stateUrl].map((url) => new URL(url).pathname.slice(1)),
    ),
  );
  return rows[0]?.count ?? -1;
};

/** The body of a chunked answer (RFC 9112, section 7.1). */
function dechunked(answer: string): string {
  let body = '';
  let at = answer.indexOf('\r\n\r\n') + 4;
  for (;;) {
    const end = answer.indexOf('\r\n', at);
    const size = Number.parseInt(answer.slice(at, end), 16);
    if (size === 0) return body;
    body += answer.slice(end + 2, end + 2 + size);
    at = end + 2 + size + 2;
  }
}

describe('P20 SIGTERM with ten downloads and two publications in flight', () => {
  test('within the grace every download ends whole, exit 0, and what was not published is published later', async () => {
    const program = await start({ DUMPER_DRAIN_SECONDS: '60' });
    const { clients, published } = await inMidEverything(program);
    program.child.kill('SIGTERM');
    await refusesConnections(program.base);
    link.pass();
    for (const client of clients) client.resume();
    const bodies = new Set<string>();
    for (const client of clients) {
      expect(await client.ended).toMatchObject({ kind: 'whole' });
      bodies.add(createHash('sha256').update(dechunked(client.text())).digest('hex'));
    }
    expect(bodies.size).toBe(1);
    expect(await program.exited).toBe(0);
    expect(program.lines().at(-1)).toMatchObject({ msg: 'stopped' });
    await eventually('no backend is left', async () => (await backends()) === 0, { seconds: 60 });
    const next = await start({});
    for (const name of tables)
      await eventually(
        `${name} is published anew`,
        async () => {
          const manifest = await world.manifest(name);
          return manifest?.revision !== published.get(name);
        },
        { seconds: 60 },
      );
    expect((await fetch(`${next.base}/datastore/dump/drain-1`, { redirect: 'manual' })).status).toBe(302);
    recordCount('P20', 'downloads that ended whole while the process drained', clients.length);
  });

  test('when the grace is over downloads are visibly broken, publications leave no trace, exit 0', async () => {
    const program = await start({ DUMPER_DRAIN_SECONDS: '1' });
    const { clients, published } = await inMidEverything(program);
    program.child.kill('SIGTERM');
    expect(await program.exited).toBe(0);
    for (const client of clients) {
      client.resume();
      expect(await client.ended).toMatchObject({ kind: 'broken' });
    }
    for (const name of tables) expect((await world.manifest(name))?.revision).toBe(published.get(name));
    await eventually('no backend is left', async () => (await backends()) === 0, { seconds: 60 });
    recordCount('P20', 'downloads visibly broken when the grace was over', clients.length);
  });

  test('a second signal exits at once', async () => {
    const program = await start({ DUMPER_DRAIN_SECONDS: '300' });
    await inMidEverything(program);
    program.child.kill('SIGTERM');
    await refusesConnections(program.base);
    expect(program.child.exitCode).toBeNull();
    program.child.kill('SIGTERM');
    expect(await program.exited).toBe(1);
  });
});
