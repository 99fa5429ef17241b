/** One table with the change journal over it, made anew for each test of the exact tier, and removed with all traces. */
import { Client } from 'pg';
import { afterAll, afterEach, beforeAll, beforeEach, expect } from 'vitest';
import { installTriggers, removeTriggers } from '../../src/change/journal.ts';
import { lookUpTable } from '../../src/postgres/revision.ts';
import { asResourceId } from '../../src/postgres/table.ts';
import { freshDatabase, type Database } from '../world/postgres.ts';

export const id = asResourceId('8f0c2d5e-0000-4000-8000-000000000001');

export interface ExactWorld {
  database: Database;
  /** The owner's connection, and one of the read role. */
  write: Client;
  read: Client;
}

/** Filled before the first test of the file that calls it. */
export function exactWorld(): ExactWorld {
  const world = {} as ExactWorld;
  beforeAll(async () => {
    world.database = await freshDatabase();
    world.write = await connect(world.database.writeUrl);
    world.read = await connect(world.database.readUrl);
  });
  afterAll(async () => {
    await world.write.end();
    await world.read.end();
    await world.database.drop();
  });
  beforeEach(async () => {
    await createTable(world);
    await world.write.query(`INSERT INTO "${id}" (a) SELECT 'row ' || n FROM generate_series(1, 20) n`);
    await installTriggers(world.write, { readRole: 'datastore_default', lockSeconds: 5 });
  });
  afterEach(async () => {
    await world.write.query(`DROP TABLE IF EXISTS "${id}" CASCADE`);
    await removeTriggers(world.write, 5);
  });
  return world;
}

export async function connect(url: string): Promise<Client> {
  const client = new Client({ connectionString: url });
  client.on('error', () => undefined);
  await client.connect();
  return client;
}

export async function createTable({ write }: ExactWorld): Promise<void> {
  await write.query(`CREATE TABLE "${id}" (_id serial PRIMARY KEY, _full_text tsvector, a text, n numeric)`);
}

export async function tokenOf({ read }: ExactWorld): Promise<string> {
  const found = await lookUpTable(read, id);
  expect(found?.tier).toBe('exact');
  return found?.token ?? '';
}

export async function asSuperuser(
  { database }: ExactWorld,
  work: (admin: Client) => Promise<unknown>,
): Promise<void> {
  const admin = await connect(database.adminUrl);
  try {
    await work(admin);
  } finally {
    await admin.end();
  }
}
