/** `install-triggers` and `remove-triggers`: the change journal, by the role that owns the tables. */
import { Client } from 'pg';
import { installTriggers, removeTriggers } from '../../change/journal.ts';
import { eventObjects, eventTriggers, journalObjects } from '../../change/journal.sql.ts';
import type { ExitCode, TriggerOptions, Run } from '../program.ts';
import type { Config } from '../../config/config.ts';
import { mapPostgresErrors } from '../../postgres/pool.ts';
import { journal } from '../../postgres/revision.ts';
import { quoteIdentifier } from '../../postgres/table.ts';

export async function installCommand(config: Config, options: TriggerOptions, run: Run): Promise<ExitCode> {
  const readRole = roleOf(config.CKAN_DATASTORE_READ_URL ?? '');
  if (options.print) {
    run.output.line(installScript(readRole, options.superuserUrl !== undefined));
    return 0;
  }
  const { attached, busy, refused } = await withClient(config.CKAN_DATASTORE_WRITE_URL ?? '', (write) =>
    withSuperuser(options.superuserUrl, (superuser) =>
      installTriggers(write, {
        readRole,
        lockSeconds: config.DUMPER_LOCK_SECONDS,
        ...(superuser === null ? {} : { superuser }),
      }),
    ),
  );
  run.output.line(`The change journal is installed; triggers were put on ${attached.length} tables.`);
  if (options.superuserUrl === undefined) {
    run.output.line('New tables get theirs by the sweep (with --superuser-url: from birth).');
  }
  for (const id of busy) run.output.line(`busy: ${id} (the next sweep tries again)`);
  for (const { id, reason } of refused) run.output.line(`refused: ${id} (${reason})`);
  return refused.length > 0 ? 1 : 0;
}

export async function removeCommand(config: Config, options: TriggerOptions, run: Run): Promise<ExitCode> {
  if (options.print) {
    run.output.line('Tables lose their two triggers one by one, then: DROP SCHEMA datastore_dumper CASCADE;');
    return 0;
  }
  await withClient(config.CKAN_DATASTORE_WRITE_URL ?? '', (write) =>
    removeTriggers(write, config.DUMPER_LOCK_SECONDS),
  );
  run.output.line('The change journal is removed; nothing of it is left.');
  return 0;
}

/** What installing runs, for those who want to read it, or to have another run it. */
function installScript(readRole: string, withSuperuser: boolean): string {
  const { schema } = journal;
  const role = quoteIdentifier(readRole);
  const steps = [
    '-- as the role that owns the DataStore tables',
    `CREATE SCHEMA IF NOT EXISTS ${schema};`,
    journalObjects.trim(),
    `GRANT USAGE ON SCHEMA ${schema} TO ${role};`,
    `GRANT SELECT ON ${schema}.change TO ${role};`,
    `GRANT EXECUTE ON FUNCTION ${schema}.fold() TO ${role};`,
    `SELECT ${schema}.attach(relname::text, 5000) FROM pg_class
WHERE relnamespace = 'public'::regnamespace AND relkind = 'r' AND NOT starts_with(relname::text, '_');`,
  ];
  if (withSuperuser) {
    steps.push('-- as superuser: new tables are covered from birth', eventObjects.trim());
    steps.push(...eventTriggers.map(({ create }) => `${create};`));
  }
  return steps.join('\n');
}

async function withClient<Value>(url: string, work: (client: Client) => Promise<Value>): Promise<Value> {
  const client = new Client({
    connectionString: url,
    application_name: 'datastore-dumper triggers',
    connectionTimeoutMillis: 10_000,
  });
  try {
    await mapPostgresErrors('POSTGRES_UNAVAILABLE', () => client.connect());
    return await work(client);
  } finally {
    await client.end().catch(() => undefined);
  }
}

async function withSuperuser<Value>(
  url: string | undefined,
  work: (client: Client | null) => Promise<Value>,
): Promise<Value> {
  return url === undefined ? work(null) : withClient(url, work);
}

/** The role that a connection URL names. */
function roleOf(url: string): string {
  return decodeURIComponent(new URL(url).username);
}
