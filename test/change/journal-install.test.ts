/** P4, exact tier: the journal is installed, removed and put on new tables, and leaves nothing behind. */
import type { Client } from 'pg';
import { describe, expect, test } from 'vitest';
import { installCommand, removeCommand } from '../../src/cli/commands/triggers.ts';
import { readConfig } from '../../src/config/config.ts';
import { attachMissing, installTriggers, journalStatus, removeTriggers } from '../../src/change/journal.ts';
import { lookUpTable } from '../../src/postgres/revision.ts';
import { asResourceId } from '../../src/postgres/table.ts';
import { asSuperuser, connect, exactWorld, id, tokenOf } from './exact-world.ts';

const world = exactWorld();

/** What `--print` prints, cut before the line of comment that each part begins with, as psql runs it. */
async function printedParts(command: typeof installCommand): Promise<string[]> {
  const lines: string[] = [];
  const line = (text: string): void => void lines.push(text);
  const output = { terminal: false, columns: 80, json: false, line, notice: line };
  const config = readConfig({ CKAN_DATASTORE_READ_URL: world.database.readUrl, DUMPER_AUTHORIZE: 'off' }, [
    'read',
  ]);
  const run = { output, signal: new AbortController().signal };
  expect(await command(config, { print: true, superuserUrl: undefined }, run)).toBe(0);
  return lines.join('\n').split(/^(?=-- as )/m);
}

/** Everything of the journal that the catalogue knows. */
async function objectsOf(db: Client): Promise<unknown> {
  const { rows } = await db.query(`SELECT
    (SELECT json_agg((nspname, nspowner::regrole, nspacl)::text ORDER BY 1) FROM pg_namespace
      WHERE nspname = 'datastore_dumper') AS schema,
    (SELECT json_agg((proname, proowner::regrole, proacl, prosecdef, proconfig, prosrc)::text ORDER BY proname)
      FROM pg_proc WHERE pronamespace = to_regnamespace('datastore_dumper')) AS functions,
    (SELECT json_agg((relname, relkind, relowner::regrole, relacl)::text ORDER BY relname) FROM pg_class
      WHERE relnamespace = to_regnamespace('datastore_dumper')) AS relations,
    (SELECT json_agg((tgrelid::regclass, tgname, tgenabled, tgtype)::text ORDER BY tgrelid::regclass::text, tgname)
      FROM pg_trigger WHERE tgname LIKE 'datastore\\_dumper%') AS triggers,
    (SELECT json_agg((evtname, evtevent, evtenabled, evttags)::text ORDER BY evtname) FROM pg_event_trigger) AS events`);
  return rows[0];
}

describe('installing and removing', () => {
  test('another read role, given later, reads exact tokens too', async () => {
    await asSuperuser(world, (admin) => admin.query(`CREATE ROLE "other-reader" LOGIN PASSWORD 'pass'`));
    try {
      const url = new URL(world.database.readUrl);
      url.username = 'other-reader';
      const other = await connect(url.href);
      expect((await lookUpTable(other, id))?.tier).toBe('read-only');
      await installTriggers(world.write, { readRole: 'other-reader', lockSeconds: 5 });
      expect((await lookUpTable(other, id))?.tier).toBe('exact');
      expect((await lookUpTable(world.read, id))?.tier).toBe('exact');
      await other.end();
    } finally {
      await removeTriggers(world.write, 5);
      await asSuperuser(world, (admin) =>
        admin.query(`DROP OWNED BY "other-reader"; DROP ROLE "other-reader"`),
      );
    }
  });

  test('removed and installed again: tokens fall back and return, on the same connection', async () => {
    const before = await tokenOf(world);
    await removeTriggers(world.write, 5);
    expect((await lookUpTable(world.read, id))?.tier).toBe('read-only');
    await installTriggers(world.write, { readRole: 'datastore_default', lockSeconds: 5 });
    expect(await tokenOf(world)).not.toBe(before);
  });

  test.for([false, true])('removal leaves nothing behind (superuser helped: %s)', async (helped) => {
    const everything = `SELECT (SELECT count(*)::int FROM pg_proc) AS functions, (SELECT count(*)::int FROM pg_trigger WHERE NOT tgisinternal) AS triggers,
      (SELECT count(*)::int FROM pg_event_trigger) AS events, (SELECT array_agg(nspname ORDER BY 1) FROM pg_namespace WHERE nspname !~ '^pg_') AS schemas,
      (SELECT count(*)::int FROM pg_class WHERE relnamespace <> 'pg_toast'::regnamespace) AS relations,
      (SELECT nspacl::text FROM pg_namespace WHERE nspname = 'public') AS rights`;
    await removeTriggers(world.write, 5);
    const { rows: clean } = await world.write.query(everything);
    const install = async (superuser?: Client): Promise<unknown> =>
      installTriggers(world.write, {
        readRole: 'datastore_default',
        lockSeconds: 5,
        ...(superuser ? { superuser } : {}),
      });
    if (helped) await asSuperuser(world, install);
    else await install();
    expect(await journalStatus(world.read)).toEqual({
      installed: true,
      readable: true,
      coversNewTables: helped,
    });
    await removeTriggers(world.write, 5);
    const { rows: after } = await world.write.query(everything);
    expect(after).toEqual(clean);
  });

  test('with a superuser once, new tables are covered from birth and definitions are told', async () => {
    await asSuperuser(world, (superuser) =>
      installTriggers(world.write, { readRole: 'datastore_default', lockSeconds: 5, superuser }),
    );
    await world.read.query('LISTEN datastore_dumper');
    const told: string[] = [];
    const listener = ({ payload }: { payload?: string | undefined }): void => void told.push(payload ?? '');
    world.read.on('notification', listener);
    const heard = async (): Promise<string[]> => {
      await world.read.query('SELECT 1');
      return told.splice(0);
    };
    await world.write.query(`CREATE TABLE born (_id serial, a text)`);
    expect((await lookUpTable(world.read, 'born'))?.tier).toBe('exact');
    expect(await heard()).toContain('born');
    await world.write.query(`COMMENT ON COLUMN born.a IS 'x'`);
    expect(await heard()).toEqual(['born']);
    await world.write.query(`DROP TABLE born`);
    expect(await heard()).toEqual(['born']);
    await world.write.query(`INSERT INTO "${id}" (a) VALUES ('x')`);
    expect(await heard()).toEqual([id]);
    world.read.off('notification', listener);
    await world.read.query('UNLISTEN *');
  });

  test.for([false, true])(
    'what is printed makes the objects that running makes (superuser: %s)',
    async (helped) => {
      await removeTriggers(world.write, 5);
      const clean = await objectsOf(world.write);
      const options = { readRole: 'datastore_default', lockSeconds: 5 };
      if (helped)
        await asSuperuser(world, (superuser) => installTriggers(world.write, { ...options, superuser }));
      else await installTriggers(world.write, options);
      const ran = await objectsOf(world.write);
      await removeTriggers(world.write, 5);
      for (const part of await printedParts(installCommand)) {
        if (!part.startsWith('-- as a superuser')) await world.write.query(part);
        else if (helped) await asSuperuser(world, (superuser) => superuser.query(part));
      }
      expect(await objectsOf(world.write)).toEqual(ran);
      for (const part of await printedParts(removeCommand)) await world.write.query(part);
      expect(await objectsOf(world.write)).toEqual(clean);
    },
  );

  test('a table that is locked is left for the next sweep, in bounded time', async () => {
    const locked = asResourceId('locked');
    await world.write.query(`CREATE TABLE locked (_id serial)`);
    const other = await connect(world.database.writeUrl);
    await other.query('BEGIN; INSERT INTO locked DEFAULT VALUES');
    expect(await attachMissing(world.write, [locked], 0.05)).toEqual({
      attached: [],
      busy: [locked],
      refused: [],
    });
    await other.query('ROLLBACK');
    expect(await attachMissing(world.write, [locked], 5)).toEqual({
      attached: [locked],
      busy: [],
      refused: [],
    });
    await other.end();
    await world.write.query('DROP TABLE locked');
  });
});
