/**
 * P4, P20: `pg_restore` into the database of a running service ends without an error, the service keeps out meanwhile, and
 * the dump's triggers are the tables' triggers afterwards.
 */
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { existsSync } from 'node:fs';
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { afterAll, afterEach, beforeAll, describe, expect, test, vi } from 'vitest';
import { createRestoreWatch } from '../../src/change/restore.ts';
import type { SweepReport } from '../../src/change/sweep.ts';
import { asResourceId } from '../../src/postgres/table.ts';
import { eventually } from '../world/eventually.ts';
import { installationFixture, type Installation } from '../world/installation.ts';
import { asAdmin } from '../world/postgres.ts';
import { connect } from './exact-world.ts';
import { actWorld, type ActWorld } from './world.ts';

vi.setConfig({ testTimeout: 120_000 });

/** Not part of the embedded Postgres: Debian's `postgresql-client`, of the same version or a later one. */
const folder = [
  ...(process.env['PATH'] ?? '').split(':'),
  ...[18, 17, 16, 15].map((version) => `/usr/lib/postgresql/${version}/bin`),
].find((place) => existsSync(path.join(place, 'pg_restore')) && existsSync(path.join(place, 'pg_dump')));

const tables = 12;
const rows = 3000;

let directory: string;
let source: Installation;
let world: ActWorld;

afterEach(() => world.stop());

async function run(program: string, args: readonly string[]): Promise<{ code: number; errors: string }> {
  const child = spawn(path.join(folder ?? '', program), args, { stdio: ['ignore', 'ignore', 'pipe'] });
  let errors = '';
  child.stderr.on('data', (chunk: Buffer) => (errors += chunk.toString()));
  const [code] = (await once(child, 'close')) as [number];
  return { code, errors };
}

function acting(report: SweepReport): SweepReport | null {
  return report.restoring ? null : report;
}

async function triggersOf(): Promise<unknown[]> {
  const { rows } = await world.write.query(`SELECT tgenabled, count(*)::int AS triggers FROM pg_trigger
    WHERE tgname IN ('datastore_dumper_rows', 'datastore_dumper_truncate') GROUP BY tgenabled`);
  return rows;
}

describe.skipIf(folder === undefined)('a restore (skipped where there is no pg_restore)', () => {
  beforeAll(async () => {
    directory = await mkdtemp(path.join(tmpdir(), 'dumper-restore-'));
    source = await installationFixture({ journal: true });
    for (let table = 0; table < tables; table += 1) await source.createTable(`t${table}`, rows);
    await source.asOwner(
      Array.from({ length: tables }, (_, n) => `SELECT datastore_dumper.attach('t${n}', 1000)`).join(';'),
    );
    const file = path.join(directory, 'datastore.dump');
    expect(await run('pg_dump', ['-Fc', '-f', file, source.database.adminUrl])).toEqual({
      code: 0,
      errors: '',
    });
  });
  afterAll(async () => {
    await source.end();
    await rm(directory, { recursive: true, force: true });
  });

  test.each([
    ['-j 2', ['-j', '2']],
    ['--single-transaction', ['--single-transaction']],
  ])('%s, beside sweeps and notices, is without an error', async (_what, options) => {
    world = await actWorld({ journal: true });
    await asAdmin(world.database.adminUrl, (admin) =>
      admin.query('DROP SCHEMA datastore_dumper CASCADE; DROP VIEW public._table_metadata'),
    );
    await restoreBeside(options);
  });

  test('-j 2 over a database whose event triggers cover new tables from birth', async () => {
    world = await actWorld({ journal: 'superuser' });
    await asAdmin(world.database.adminUrl, (admin) => admin.query('DROP VIEW public._table_metadata'));
    await restoreBeside(['-j', '2', '-n', 'public', '--clean', '--if-exists']);
  });

  async function restoreBeside(options: readonly string[]): Promise<void> {
    const change = await world.start();
    const names = Array.from({ length: tables }, (_, n) => asResourceId(`t${n}`));
    const ended = new AbortController();
    const meanwhile = (async () => {
      while (!ended.signal.aborted) {
        await change.sweep();
        await change.enqueueByName(names);
      }
    })();
    const file = path.join(directory, 'datastore.dump');
    const restored = await run('pg_restore', [...options, '-d', world.database.adminUrl, file]);
    const attempts = [...world.attempts];
    ended.abort();
    await meanwhile;
    expect(restored).toEqual({ code: 0, errors: '' });
    if (options.includes('-j')) expect(attempts, 'published in the middle of the restore').toEqual([]);
    expect(await triggersOf()).toEqual([{ tgenabled: 'A', triggers: 2 * tables }]);
    const after = await eventually('a sweep acts', async () => acting(await change.sweep()));
    expect(after).toMatchObject({ tables, exact: tables, attached: 0 });
    for (const id of names) {
      const isWhole = async (): Promise<boolean> => (await world.manifest(id))?.rows === rows;
      await eventually(`${id} is published`, isWhole, { seconds: 60 });
    }
  }
});

test('P20: a role that may make no tables stops no sweep by the name of its session', async () => {
  world = await actWorld({ journal: true });
  await asAdmin(world.database.adminUrl, (admin) =>
    admin.query('REVOKE CREATE ON SCHEMA public FROM PUBLIC'),
  );
  const reader = await connect(world.database.readUrl);
  const owner = await connect(world.database.writeUrl);
  try {
    await reader.query(`SET application_name = 'pg_restore'`);
    expect(await createRestoreWatch(world.write)()).toBe(false);
    await owner.query(`SET application_name = 'pg_restore'`);
    expect(await createRestoreWatch(reader)()).toBe(true);
    const change = await world.start({}, false);
    await world.createTable('half');
    expect(await change.sweep()).toMatchObject({ tables: 1, missing: 1, attached: 0, restoring: true });
    expect(await world.state.publications.get(asResourceId('half'))).toBeNull();
    await owner.query(`SET application_name = 'psql'`);
    const after = await eventually('a sweep acts', async () => acting(await change.sweep()));
    expect(after).toMatchObject({ tables: 1, attached: 1 });
  } finally {
    await reader.end();
    await owner.end();
  }
});
