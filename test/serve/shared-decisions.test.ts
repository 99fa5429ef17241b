/** Replicas that share decisions through Redis: asked once, ended at once, and right without it (promises P9 to P11). */
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { createCkan } from '../../src/ckan/client.ts';
import { createLog } from '../../src/log.ts';
import { anonymous, type Caller } from '../../src/serve/caller.ts';
import { shareDecisions, type SharedDecisions } from '../../src/serve/decisions.ts';
import { createPermission } from '../../src/serve/permission.ts';
import { serviceFixture } from '../world/service.ts';
import { rightsOver, startCkan, type FakeCkan, type TableRights } from '../world/fake-ckan.ts';
import { eventually } from '../world/eventually.ts';
import { startFaultProxy } from '../world/fault-proxy.ts';
import { noRedis, startRedis, type Redis } from '../world/redis.ts';
import { linesInto } from '../world/log-lines.ts';
import { ask } from './serving.ts';

const prefix = 'datastore-dumper:decision:';
const open = 'c0000000-0000-4000-8000-000000000001';
const hidden = 'c0000000-0000-4000-8000-000000000002';
const member: Caller = { key: 'hash-of-member', credentials: { authorization: 'token-member' } };
const outsider: Caller = { key: 'hash-of-outsider', credentials: { authorization: 'token-outsider' } };

let redis: Redis;
let ckan: FakeCkan;
let tables: Map<string, TableRights>;
let undo: (() => unknown)[];

beforeEach(async () => {
  tables = new Map([
    [open, { private: false, state: 'active' }],
    [hidden, { private: true, state: 'active' }],
  ]);
  undo = [];
  if (noRedis !== null) return;
  redis = await startRedis();
  ckan = await startCkan({ permissions: rightsOver(tables) });
  undo.push(
    () => redis.stop(),
    () => ckan.stop(),
  );
});
afterEach(async () => {
  for (const step of undo.toReversed()) await step();
});

interface Replica {
  readonly shared: SharedDecisions;
  readonly log: string[];
  /** What a caller may, in one word. */
  says(id: string, caller?: Caller): Promise<string>;
  /** The same of four questions that between them have every decision. */
  saysAll(): Promise<string[]>;
}

async function replica(options: { seconds?: number; url?: string; silent?: number } = {}): Promise<Replica> {
  const log: string[] = [];
  const pino = createLog('debug', linesInto(log));
  const client = createCkan({ siteUrl: ckan.url, timeoutSeconds: 5, now: Date.now });
  const shared = await shareDecisions(options.url ?? redis.url, pino, options.silent);
  const permission = createPermission({
    ckan: client,
    decisionSeconds: options.seconds ?? 60,
    publicTables: [],
    shared,
    now: Date.now,
    log: pino,
  });
  undo.push(async () => {
    client.close();
    await shared.close();
  });
  const says = async (id: string, caller = anonymous): Promise<string> => {
    const permit = await permission.mayRead(id, caller);
    return permit.kind === 'allowed' ? (permit.public ? 'public' : 'private') : permit.kind;
  };
  const saysAll = async (): Promise<string[]> => [
    await says(open),
    await says(hidden),
    await says(hidden, member),
    await says(hidden, outsider),
  ];
  return { shared, log, says, saysAll };
}

/** It gives what was written for it: connected, and willing to ask. */
async function shares({ shared }: Replica): Promise<void> {
  await eventually('decisions are shared', async () => {
    await redis.set(`${prefix}probe`, `allowed ${Date.now() + 60_000}`, 60_000);
    return shared.get('probe');
  });
}

const every = ['public', 'refused', 'private', 'refused'];
const asked = (): number => ckan.asked.length;

describe.skipIf(noRedis !== null)(
  `decisions shared through Redis${noRedis ? `: skipped, ${noRedis}` : ''}`,
  () => {
    it('CKAN is asked once for all replicas; refusals too', async () => {
      const [one, other] = [await replica(), await replica()];
      await Promise.all([shares(one), shares(other)]);
      expect(await one.saysAll()).toEqual(every);
      expect(await one.says(hidden, outsider)).toBe('refused');
      await eventually('four decisions are in Redis', async () => (await redis.contents()).size === 5);
      ckan.forget();
      expect([await other.says(open), await other.says(hidden), await other.says(hidden, member)]).toEqual([
        'public',
        'refused',
        'private',
      ]);
      expect(await other.says(hidden, outsider)).toBe('refused');
      expect(asked()).toBe(0);
    });

    it('P10: a shared decision ends for all replicas when it ends for the first', async () => {
      const [one, other] = [await replica({ seconds: 2 }), await replica({ seconds: 2 })];
      await Promise.all([shares(one), shares(other)]);
      expect(await one.says(open)).toBe('public');
      const endsAt = Date.now() + 2000;
      tables.set(open, { private: true, state: 'active' });
      // Whether the other took it over from the first or asked by itself: it knows of the loss no later.
      for (const { says } of [other, one]) {
        await eventually('the loss is known', async () => {
          const before = Date.now();
          const said = await says(open);
          if (said === 'public') expect(before).toBeLessThanOrEqual(endsAt);
          return said === 'refused';
        });
      }
    });

    it('P10: a replica whose clock is ahead lengthens no life', async () => {
      const one = await replica();
      await shares(one);
      const anHourOn = Date.now() + 3_600_000;
      await redis.set(`${prefix}ahead`, `allowed ${anHourOn}`, 5000);
      const seen = await one.shared.get('ahead');
      expect(seen?.decision).toBe('allowed');
      expect(seen?.endsAt).toBeLessThanOrEqual(Date.now() + 5000);
      for (const text of ['everything 1', 'allowed', '', 'allowed x', `allowed ${anHourOn} more`]) {
        await redis.set(`${prefix}odd`, text, 5000);
        expect(await one.shared.get('odd')).toBeNull();
      }
    });

    it('P18: Redis holds no credential, and replicas know a caller by the same key', async () => {
      const world = await serviceFixture();
      undo.push(() => world.end());
      await world.createTable(hidden, 1);
      const settings = { DUMPER_AUTHORIZE: 'ckan', CKAN_SITE_URL: ckan.url, CKAN_REDIS_URL: redis.url };
      const more = { DUMPER_DECISION_CACHE_SECONDS: '60', DUMPER_ROLE: 'serve', DUMPER_CKAN_VERSION: '2.12' };
      const [one, other] = [
        await world.start({ ...settings, ...more }),
        await world.start({ ...settings, ...more }),
      ];
      const statusOf = async (base: string, headers: Record<string, string>): Promise<number> =>
        (await ask(`${base}/datastore/dump/${hidden}?limit=1`, { headers })).status;
      const bySession = { cookie: 'ckan=session-member' };
      const stranger = { authorization: 'token-outsider' };
      await eventually('the first replica has written', async () => {
        expect(await statusOf(one.base, { authorization: 'token-member' })).toBe(200);
        return (await redis.contents()).size > 0;
      });
      expect([await statusOf(one.base, bySession), await statusOf(one.base, stranger)]).toEqual([200, 404]);
      const decisions = await eventually('all are written', async () => {
        const contents = await redis.contents();
        return contents.size >= 3 ? contents : null;
      });
      const text = JSON.stringify([...decisions]);
      for (const secret of ['token-member', 'session-member', 'token-outsider', 'datastore_default'])
        expect(text).not.toContain(secret);
      await eventually('the second replica has read', async () => {
        ckan.forget();
        await statusOf(other.base, bySession);
        return asked() === 0;
      });
      ckan.setPermissions(() => 500);
      expect([await statusOf(other.base, bySession), await statusOf(one.base, stranger)]).toEqual([200, 404]);
    });
  },
);

describe.skipIf(noRedis !== null)('P11: Redis is left out where it fails', () => {
  it('down, from the start and later: answers stay right, and are shared again when it is back', async () => {
    await redis.kill();
    const one = await replica();
    expect(await one.saysAll()).toEqual(every);
    await eventually('it says so', () => one.log.some((line) => line.includes('not shared')));
    for (let round = 0; round < 2; round += 1) {
      await redis.start();
      await shares(one);
      await redis.kill();
      expect(await one.shared.get('probe')).toBeNull();
    }
    expect(one.log.filter((line) => line.includes('not shared')).length).toBeLessThanOrEqual(3);
  });

  it('frozen: one deadline, no queue of questions; used again when it answers', async () => {
    const one = await replica({ seconds: 0 });
    await shares(one);
    redis.freeze();
    try {
      expect(await one.says(open)).toBe('public');
      ckan.forget();
      const started = performance.now();
      for (let round = 0; round < 50; round += 1) expect(await one.says(hidden)).toBe('refused');
      // Each of them would have waited 200 ms for itself.
      expect(performance.now() - started).toBeLessThan(50 * 200);
      expect(asked()).toBe(50);
    } finally {
      redis.thaw();
    }
    await shares(one);
  });

  it('a link that swallows everything is given up and made anew', async () => {
    const proxy = await startFaultProxy({ host: '127.0.0.1', port: redis.port });
    undo.push(() => proxy.stop());
    const one = await replica({ url: proxy.through(redis.url), silent: 500 });
    await shares(one);
    proxy.set({ blackhole: true });
    expect([await one.says(open), await one.says(hidden)]).toEqual(['public', 'refused']);
    const { accepted } = proxy;
    // So that the new connection's greeting is swallowed too.
    await eventually('it connects anew', () => proxy.accepted > accepted + 1);
    proxy.pass();
    await shares(one);
  });

  it('an idle connection that is made anew is no complaint', async () => {
    const proxy = await startFaultProxy({ host: '127.0.0.1', port: redis.port });
    undo.push(() => proxy.stop());
    const one = await replica({ url: proxy.through(redis.url), silent: 100 });
    await eventually('it connected twice', () => proxy.accepted > 2);
    await shares(one);
    expect(one.log.filter((line) => line.includes('not shared'))).toEqual([]);
  });

  it('closes without Redis, with it, and with one that hangs', async () => {
    const log = createLog('silent');
    for (const state of ['up', 'frozen', 'down']) {
      if (state === 'frozen') redis.freeze();
      if (state === 'down') await redis.kill();
      const shared = await shareDecisions(redis.url, log);
      await shared.get('x');
      const closing = performance.now();
      await shared.close();
      expect(performance.now() - closing).toBeLessThan(1000);
      expect(await shared.get('x')).toBeNull();
    }
  });
});
