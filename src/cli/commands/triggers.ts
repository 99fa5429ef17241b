/**
 * `install-triggers` and `remove-triggers`: the change journal, by the role that owns the tables. `--print` shows the
 * script that would be run.
 */
import { Client } from 'pg';
import { installTriggers, removeTriggers } from '../../change/journal.ts';
import { installScript, printedScript, removeScript } from '../../change/journal.sql.ts';
import type { ExitCode, TriggerOptions, Run } from '../program.ts';
import type { Config } from '../../config/config.ts';
import { mapPostgresErrors } from '../../postgres/pool.ts';

export async function installCommand(config: Config, options: TriggerOptions, run: Run): Promise<ExitCode> {
  const readRole = roleOf(config.CKAN_DATASTORE_READ_URL ?? '');
  const lockSeconds = config.DUMPER_LOCK_SECONDS;
  if (options.print) {
    const { objects, events, cover } = installScript({ readRole, lockSeconds });
    run.output.line(printedScript([objects, events, cover]));
    return 0;
  }
  const { attached, busy, refused } = await withClient(config.CKAN_DATASTORE_WRITE_URL ?? '', (write) =>
    withSuperuser(options.superuserUrl, (superuser) =>
      installTriggers(write, {
        readRole,
        lockSeconds,
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
  const lockSeconds = config.DUMPER_LOCK_SECONDS;
  if (options.print) {
    run.output.line(printedScript(removeScript({ lockSeconds })));
    return 0;
  }
  await withClient(config.CKAN_DATASTORE_WRITE_URL ?? '', (write) => removeTriggers(write, lockSeconds));
  run.output.line('The change journal is removed; nothing of it is left.');
  return 0;
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
