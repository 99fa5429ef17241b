/** `doctor` on a real Postgres and a directory: what fails, what is only left out, and its exit code. */
import { createServer } from 'node:http';
import type { AddressInfo } from 'node:net';
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { pathToFileURL } from 'node:url';
import { afterEach, expect, test } from 'vitest';
import { openContext } from '../../src/app/context.ts';
import { readinessChecks } from '../../src/app/readiness.ts';
import { installTriggers } from '../../src/change/journal.ts';
import { doctorCommand } from '../../src/cli/commands/doctor.ts';
import { readConfig } from '../../src/config/config.ts';
import { createLog } from '../../src/log.ts';
import { asAdmin, freshDatabase } from '../world/postgres.ts';

const undo: (() => Promise<unknown>)[] = [];

afterEach(async () => {
  for (const step of undo.splice(0).toReversed()) await step();
});

async function examined(environment: Record<string, string>): Promise<{ code: number; text: string }> {
  const config = readConfig(environment, ['read', 'site']);
  const world = openContext({ config, log: createLog('silent'), environment });
  const lines: string[] = [];
  const line = (text: string): void => void lines.push(text);
  const output = { terminal: false, columns: 80, json: false, line, notice: line };
  try {
    const code = await doctorCommand(world, { output, signal: new AbortController().signal });
    return { code, text: lines.join('\n') };
  } finally {
    await world.close();
  }
}

test('the read-only tier is no failure; a table that the read role may not read is one', async () => {
  const database = await freshDatabase();
  undo.push(() => database.drop());
  const directory = await mkdtemp(path.join(tmpdir(), 'dumper-doctor-'));
  undo.push(() => rm(directory, { recursive: true }));
  const owner = (sql: string): Promise<unknown> => asAdmin(database.writeUrl, (client) => client.query(sql));
  await owner('CREATE TABLE public.trees (_id serial PRIMARY KEY); CREATE TABLE public.bees (_id serial)');
  const environment = {
    CKAN_DATASTORE_READ_URL: database.readUrl,
    DUMPER_STATE_URL: database.stateUrl,
    DUMPER_BLOB_STORE: pathToFileURL(directory).href,
    DUMPER_AUTHORIZE: 'off',
  };
  const sound = await examined(environment);
  expect(sound.text).toContain('[ -- ] change journal: not installed');
  expect(sound.text).toMatch(/\[ ok \] DataStore, read role: .* reads 2 tables/);
  expect(sound.code, sound.text).toBe(0);

  await owner('REVOKE SELECT ON public.bees FROM datastore_default');
  const refused = await examined(environment);
  expect(refused.text).toMatch(/\[FAIL\] DataStore, read role: .* may not read 1 of 2 tables, such as bees/);
  expect(refused.code).toBe(1);
});

/** A CKAN that answers every action in this way. */
async function ckanThatAnswers(status: number, body: unknown): Promise<string> {
  const server = createServer((_request, response) => {
    response.writeHead(status, { 'content-type': 'application/json' }).end(JSON.stringify(body));
  });
  await new Promise<void>((resolve) => {
    server.listen(0, '127.0.0.1', resolve);
  });
  undo.push(async () => {
    server.closeAllConnections();
    await new Promise((resolve) => server.close(resolve));
  });
  return `http://127.0.0.1:${(server.address() as AddressInfo).port}`;
}

test('of CKAN doctor says what /readyz says: it answers, though it keeps its version back; or why it does not', async () => {
  const database = await freshDatabase();
  undo.push(() => database.drop());
  const asked = async (url: string): Promise<{ doctor: string; readyz: string }> => {
    const environment = {
      CKAN_DATASTORE_READ_URL: database.readUrl,
      CKAN_SITE_URL: url,
      DUMPER_CKAN_VERSION: '2.12',
    };
    const { text } = await examined(environment);
    const config = readConfig(environment, ['read', 'site']);
    const context = openContext({ config, log: createLog('silent'), environment });
    const checks = readinessChecks(context, { publishing: null, fault: '' }, () => 'unknown');
    const ckan = checks.find(({ name }) => name === 'ckan');
    const readyz = await ckan!.check(new AbortController().signal).catch((error: Error) => error.message);
    await context.close();
    return { doctor: text.split('\n').find((line) => line.includes('] CKAN:')) ?? text, readyz };
  };
  const refusing = await asked(await ckanThatAnswers(403, { success: false, error: {} }));
  expect(refusing.doctor).toBe('[ ok ] CKAN: answers, but does not tell its version');
  expect(refusing.readyz).toMatch(/^answers, /);
  const lying = await asked(await ckanThatAnswers(200, { success: false }));
  expect(lying.doctor).toBe(`[FAIL] CKAN: ${lying.readyz}`);
});

test('a journal that the read role may not read is a failure, and what to do about it is said', async () => {
  const database = await freshDatabase();
  undo.push(() => database.drop());
  const environment = { CKAN_DATASTORE_READ_URL: database.readUrl, DUMPER_AUTHORIZE: 'off' };
  await asAdmin(database.writeUrl, async (owner) => {
    await owner.query('CREATE TABLE public.trees (_id serial PRIMARY KEY)');
    await installTriggers(owner, { readRole: 'datastore_default', lockSeconds: 5 });
  });
  const sound = await examined(environment);
  expect(sound.text).toContain('[ ok ] change journal: covers 1 of 1 tables');

  await asAdmin(database.writeUrl, (owner) =>
    owner.query('REVOKE SELECT ON datastore_dumper.change FROM datastore_default'),
  );
  const refused = await examined(environment);
  expect(refused.text).toMatch(/\[FAIL\] change journal: .* may not read it.*\n.*run install-triggers/);
  expect(refused.code).toBe(1);
});
