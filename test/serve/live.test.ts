/** Live answers under stress: clients that leave, stall or are cut off (promises P12, P13, P19). */
import { afterAll, beforeAll, describe, expect, it, vi } from 'vitest';
import { formats } from '../../src/format.ts';
import { recordCount } from '../world/counts.ts';
import { eventually } from '../world/eventually.ts';
import { startFaultProxy, type FaultProxy } from '../world/fault-proxy.ts';
import { asAdmin } from '../world/postgres.ts';
import { ask, startServing, type Serving } from './serving.ts';
import { openClient } from './slow-client.ts';

// Measured with a busy machine, and room beyond.
vi.setConfig({ testTimeout: 90_000 });

let serving: Serving;
let proxy: FaultProxy;
const big = 'c0000000-0000-4000-8000-000000000001';
const small = 'c0000000-0000-4000-8000-000000000002';
const rows = 60_000;

beforeAll(async () => {
  serving = await startServing({
    environment: { DUMPER_LIVE_SLOTS: '3', DUMPER_STALL_SECONDS: '2' },
    liveUrl: async (database) => {
      const { hostname, port } = new URL(database.readUrl);
      proxy = await startFaultProxy({ host: hostname, port: Number(port) });
      return proxy.through(database.readUrl);
    },
  });
  await serving.createTable(big, rows);
  await serving.createTable(small, 2);
});
afterAll(async () => {
  await serving.close();
  await proxy.stop();
});

const path = `/datastore/dump/${big}`;

/** Backends of live answers that are in a statement or a transaction. */
async function busyBackends(): Promise<number> {
  return asAdmin(serving.database.adminUrl, async (admin) => {
    const { rows: found } = await admin.query<{ busy: string }>(
      `SELECT count(*) AS busy FROM pg_stat_activity WHERE application_name = 'test live'
       AND datname = current_database() AND (state <> 'idle' OR backend_xmin IS NOT NULL)`,
    );
    return Number(found[0]?.busy);
  });
}

async function untilFree(seconds: number): Promise<void> {
  await eventually(
    'no backend is busy',
    async () => (await busyBackends()) === 0 && serving.world.slots.busy() === 0,
    { seconds },
  );
}

/** A chunked body that ended with its last chunk. */
function isWhole(received: Buffer): boolean {
  return received.subarray(-5).toString('latin1') === '0\r\n\r\n';
}

describe('a live answer', () => {
  it('is whole, chunked, and a small one has its length', async () => {
    const answer = await ask(`${serving.url}${path}`);
    expect([answer.status, answer.headers.get('x-dump-source')]).toEqual([200, 'live']);
    expect(answer.text.split('\n').length).toBe(rows + 2);
    const little = await ask(`${serving.url}/datastore/dump/${small}`);
    expect(little.headers.get('content-length')).toBe(String(little.text.length));
  });

  it('P12: 50 clients leave at any byte; every backend is free within 2 s and the pool usable at once', async () => {
    for (let batch = 0; batch < 17; batch += 1) {
      const clients = Array.from({ length: 3 }, (_, index) => {
        const leaveAt = 1 + (((batch * 3 + index) * 104_729) % 3_000_000);
        return openClient({
          port: serving.port,
          path,
          onData: (socket, received) => {
            if (received >= leaveAt) socket.destroy();
          },
        });
      });
      await Promise.all(clients.map(({ ended }) => ended));
      await untilFree(2);
    }
    const after = await Promise.all([1, 2, 3].map(() => ask(`${serving.url}/datastore/dump/${small}`)));
    expect(after.map(({ status }) => status)).toEqual([200, 200, 200]);
    recordCount('P12', 'clients that left a live answer', 51);
  });
});

describe('P13: stalled clients', () => {
  it('fill the slots: others get 503 before one is free; the stalled are reset at the deadline, snapshots clear', async () => {
    const stalled = [1, 2, 3].map(() => openClient({ port: serving.port, path, paused: true }));
    await eventually('all slots are taken', () => serving.world.slots.busy() === 3);
    const refused = await ask(`${serving.url}/datastore/dump/${small}`);
    expect([refused.status, refused.headers.get('retry-after')]).toEqual([503, '2']);
    await untilFree(10);
    for (const { socket } of stalled) socket.resume();
    expect(await Promise.all(stalled.map(({ ended }) => ended))).toEqual(['reset', 'reset', 'reset']);
    expect((await ask(`${serving.url}/datastore/dump/${small}`)).status).toBe(200);
    recordCount('P13', 'stalled clients reset', 3);
  });
});

describe('a client that takes little at a time', () => {
  it('gets rows larger than it takes within the deadline, whole', async () => {
    const id = 'c0000000-0000-4000-8000-000000000003';
    await serving.createTable(id, 0);
    const bytes = 20 * 2 ** 20;
    await serving.owner.query(
      `INSERT INTO "${id}" (n, text) SELECT i, repeat('x', ${bytes}) FROM generate_series(1, 2) i`,
    );
    const client = openClient({
      port: serving.port,
      path: `/datastore/dump/${id}`,
      onData: (socket) => {
        // Some 6 MiB a second: a row takes longer than the deadline.
        socket.pause();
        setTimeout(() => socket.resume(), 10);
      },
    });
    const started = performance.now();
    expect(await client.ended).toBe('closed');
    expect(performance.now() - started).toBeGreaterThan(2500);
    expect(client.received().length).toBeGreaterThan(2 * bytes);
    expect(isWhole(client.received())).toBe(true);
    await untilFree(2);
  });
});

describe('P19: an answer that breaks off is visibly broken', () => {
  for (const format of formats) {
    for (const http of ['1.1', '1.0'] as const) {
      it(`${format} by HTTP/${http}, the Postgres link cut anywhere`, async () => {
        let broken = 0;
        let refused = 0;
        for (let round = 0; round < 12; round += 1) {
          const bytes = 600 + ((round * 1_299_709) % 14_000_000);
          proxy.set({ cutAfter: { bytes, direction: 'toClient' }, cutBy: round % 2 === 0 ? 'reset' : 'fin' });
          const client = openClient({ port: serving.port, path: `${path}?format=${format}`, http });
          const ended = await client.ended;
          const received = client.received();
          const head = received.subarray(0, 15).toString('latin1');
          if (head.startsWith('HTTP/1.1 503')) refused += 1;
          else {
            expect([bytes, head.slice(0, 12), ended]).toEqual([bytes, 'HTTP/1.1 200', 'reset']);
            expect(isWhole(received)).toBe(false);
            broken += 1;
          }
          proxy.pass();
          proxy.reset();
        }
        expect(broken).toBeGreaterThan(6);
        expect(broken + refused).toBe(12);
        await untilFree(5);
        recordCount('P19', `cuts of the live answer, ${format} by HTTP/${http}`, broken + refused);
      });
    }
  }

  it('a terminated backend too', async () => {
    const begun = Promise.withResolvers<void>();
    let killed = false;
    const client = openClient({
      port: serving.port,
      path: `${path}?format=xml`,
      onData: (socket) => {
        if (!killed) socket.pause();
        begun.resolve();
      },
    });
    await begun.promise;
    await serving.killLive();
    killed = true;
    client.socket.resume();
    expect(await client.ended).toBe('reset');
    await untilFree(5);
  });

  it('Postgres away is 503 before the first byte, and back without a restart', async () => {
    proxy.set({ refuse: true });
    proxy.reset();
    const away = await ask(`${serving.url}${path}`);
    expect([away.status, away.headers.get('retry-after')]).toEqual([503, '5']);
    proxy.pass();
    expect((await ask(`${serving.url}/datastore/dump/${small}`)).status).toBe(200);
  });
});

describe('P21: Postgres that falls silent', () => {
  it('at the very end of a transaction costs its deadline, not a slot for ever', async () => {
    serving.world.livePool.once('acquire', (client) => {
      const query = client.query.bind(client);
      client.query = ((...asked: Parameters<typeof query>) => {
        if ((asked[0] as unknown) === 'COMMIT') proxy.set({ blackhole: true });
        return query(...asked);
      }) as typeof client.query;
    });
    const silent = await ask(`${serving.url}/datastore/dump/${small}`);
    expect([silent.status, silent.headers.get('retry-after')]).toEqual([503, '5']);
    proxy.pass();
    proxy.reset();
    await untilFree(5);
    expect((await ask(`${serving.url}/datastore/dump/${small}`)).status).toBe(200);
  });
});

describe('a table being changed', () => {
  it('is waited for a bounded time, then 503', async () => {
    const locked = await startServing({ environment: { DUMPER_LOCK_SECONDS: '1' } });
    try {
      await locked.createTable(small, 1);
      await locked.owner.query('BEGIN');
      await locked.owner.query(`LOCK TABLE "${small}" IN ACCESS EXCLUSIVE MODE`);
      const answer = await ask(`${locked.url}/datastore/dump/${small}`);
      expect([answer.status, answer.headers.get('retry-after')]).toEqual([503, '5']);
      await locked.owner.query('ROLLBACK');
      expect((await ask(`${locked.url}/datastore/dump/${small}`)).status).toBe(200);
    } finally {
      await locked.close();
    }
  });
});
