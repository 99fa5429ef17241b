/**
 * The demo: the whole story on one machine with nothing installed but npm.
 *
 * A Postgres of its own, filled as CKAN 2.12 would have left it with the tables of a city's open-data portal; the change
 * journal; every table published into a directory; the service listening on loopback; and three requests worth trying.
 * Nothing is left behind.
 */
import type { Environment } from '../config/config.ts';
import { mkdir, rm } from 'node:fs/promises';
import path from 'node:path';
import { pathToFileURL } from 'node:url';
import { Client } from 'pg';
import type { DemoOptions, ExitCode, Run } from '../cli/program.ts';
import { isDumperError } from '../errors.ts';
import { city } from './city.ts';
import { demoText } from './demo-text.ts';
import { fillTable, prepareDataStore } from './fill.ts';
import { demoTables } from './tables.ts';
import { startThrowawayPostgres, type ThrowawayPostgres } from './throwaway-postgres.ts';

/** Settings as they would stand in the environment. */

/** The product's own parts, as the commands of the same names use them. */
interface DemoParts {
  installTriggers(environment: Environment, superuserUrl: string, signal: AbortSignal): Promise<void>;
  /** Publish every table, showing progress. */
  publishAll(environment: Environment, run: Run): Promise<ExitCode>;
  /** Start `serve`; resolves when it listens. */
  startService(
    environment: Environment,
    signal: AbortSignal,
  ): Promise<{ readonly port: number; stop(): Promise<void> }>;
}

/** Run until the signal aborts (or everything is published, with `once`); 0 then. */
export async function runDemo(options: DemoOptions, run: Run, parts: DemoParts): Promise<ExitCode> {
  run.output.notice('Starting a Postgres of the demo …');
  const postgres = await startThrowawayPostgres(run.signal);
  try {
    return await showAll(options, run, parts, postgres);
  } catch (error) {
    if (run.signal.aborted && (isDumperError(error, 'ABORTED') || (error as Error).name === 'AbortError'))
      return 0;
    throw error;
  } finally {
    run.output.notice('Stopping, and removing what the demo made …');
    if (options.directory === undefined)
      await rm(path.join(postgres.directory, 'blobs'), { recursive: true, force: true });
    await postgres.stop();
  }
}

async function showAll(
  options: DemoOptions,
  run: Run,
  parts: DemoParts,
  postgres: ThrowawayPostgres,
): Promise<ExitCode> {
  run.output.notice(
    `Filling a DataStore with the ${demoTables.length} tables of ${city}'s open-data portal …`,
  );
  await createDatabases(postgres);
  const blobs = path.resolve(options.directory ?? path.join(postgres.directory, 'blobs'));
  await mkdir(blobs, { recursive: true });
  const environment = demoEnvironment(postgres.port, blobs, options.port);
  await fillDataStore(environment.CKAN_DATASTORE_WRITE_URL);
  await parts.installTriggers(environment, postgres.adminUrl('datastore'), run.signal);
  run.output.notice('Publishing every table …');
  const published = await parts.publishAll(environment, run);
  if (run.signal.aborted) return 0;
  const service = await parts.startService(environment, run.signal);
  run.output.line(demoText({ port: service.port, writeUrl: environment.CKAN_DATASTORE_WRITE_URL, blobs }));
  if (!options.once) await untilAborted(run.signal);
  await service.stop();
  return options.once ? published : 0;
}

function demoEnvironment(postgresPort: number, blobs: string, port: number) {
  const at = `127.0.0.1:${postgresPort}`;
  return {
    CKAN_DATASTORE_READ_URL: `postgresql://datastore_default:pass@${at}/datastore`,
    CKAN_DATASTORE_WRITE_URL: `postgresql://ckan_default:pass@${at}/datastore`,
    DUMPER_STATE_URL: `postgresql://dumper:pass@${at}/dumper`,
    DUMPER_BLOB_STORE: pathToFileURL(blobs).href,
    DUMPER_AUTHORIZE: 'off',
    DUMPER_CKAN_VERSION: '2.12',
    DUMPER_QUIET_SECONDS: '2',
    DUMPER_HOST: '127.0.0.1',
    DUMPER_PORT: String(port),
    DUMPER_LOG_LEVEL: 'warn',
  } satisfies Environment;
}

/** The databases and rights of CKAN's documented set-up, and the service's own database. */
async function createDatabases(postgres: ThrowawayPostgres): Promise<void> {
  await connected(postgres.adminUrl('postgres'), async (client) => {
    await client.query("CREATE ROLE ckan_default LOGIN PASSWORD 'pass'");
    await client.query("CREATE ROLE datastore_default LOGIN PASSWORD 'pass'");
    await client.query("CREATE ROLE dumper LOGIN PASSWORD 'pass'");
    const locale = "TEMPLATE template0 ENCODING 'UTF8' LC_COLLATE 'C.UTF-8' LC_CTYPE 'C.UTF-8'";
    await client.query(`CREATE DATABASE datastore OWNER ckan_default ${locale}`);
    await client.query(`CREATE DATABASE dumper OWNER dumper ${locale}`);
  });
}

/** Every table at once, on a connection each: the large one takes as long as all others together. */
async function fillDataStore(writeUrl: string): Promise<void> {
  await connected(writeUrl, (client) => prepareDataStore(client, 'datastore_default'));
  await Promise.all(demoTables.map((table) => connected(writeUrl, (client) => fillTable(client, table))));
}

async function connected(url: string, work: (client: Client) => Promise<void>): Promise<void> {
  const client = new Client({ connectionString: url });
  await client.connect();
  try {
    await work(client);
  } finally {
    await client.end();
  }
}

function untilAborted(signal: AbortSignal): Promise<void> {
  return new Promise((resolve) => {
    if (signal.aborted) resolve();
    else signal.addEventListener('abort', () => resolve(), { once: true });
  });
}
