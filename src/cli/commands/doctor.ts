/**
 * `doctor`: tries every setting and right of this installation for real, and says what to do about what fails.
 *
 * Each examination is one function; none changes anything but the probe object in the blob store.
 */
import { randomBytes } from 'node:crypto';
import { Readable } from 'node:stream';
import { buffer } from 'node:stream/consumers';
import { Client } from 'pg';
import { probeConditionalWrites } from '../../blob-store/conditions.ts';
import type { ExitCode, Run } from '../program.ts';
import { journalStatus } from '../../change/journal.ts';
import { DumperError, errorMessage } from '../../errors.ts';
import { redact } from '../../log.ts';
import { openState } from '../../state/state.ts';
import { allTables } from '../../postgres/revision.ts';
import type { AppContext } from '../../app/context.ts';

interface Examination {
  readonly subject: string;
  /** What is true when it passes, or why it is done without; throws what is wrong. */
  readonly look: () => Promise<string | DoneWithout>;
  /** What to do when it fails. */
  readonly advice: string;
  /** Null: set; else why it was left out. */
  readonly leftOut: string | null;
}

interface DoneWithout {
  readonly doneWithout: string;
}

export async function doctorCommand(context: AppContext, run: Run): Promise<ExitCode> {
  let failed = 0;
  for (const examination of examinations(context, run.signal)) {
    run.signal.throwIfAborted();
    const finding = await examine(examination);
    if (finding.state === 'failed') failed += 1;
    if (run.output.json) run.output.line(JSON.stringify(finding));
    else {
      run.output.line(`${marks[finding.state]} ${finding.subject}: ${finding.detail}`);
      if (finding.state === 'failed') run.output.line(`     → ${examination.advice}`);
    }
  }
  return failed > 0 ? 1 : 0;
}

interface Finding {
  readonly subject: string;
  readonly state: 'ok' | 'failed' | 'left out';
  readonly detail: string;
}

const marks = { ok: '[ ok ]', failed: '[FAIL]', 'left out': '[ -- ]' } as const;

async function examine({ subject, look, leftOut }: Examination): Promise<Finding> {
  if (leftOut !== null) return { subject, state: 'left out', detail: leftOut };
  try {
    const told = await look();
    return typeof told === 'string'
      ? { subject, state: 'ok', detail: told }
      : { subject, state: 'left out', detail: told.doneWithout };
  } catch (error) {
    return { subject, state: 'failed', detail: redact(errorMessage(error)) };
  }
}

function examinations(context: AppContext, signal: AbortSignal): Examination[] {
  const { config } = context;
  const unset = (name: keyof typeof config, meaning: string): string | null =>
    config[name] === undefined ? `${name} is not set: ${meaning}` : null;
  return [
    {
      subject: 'DataStore, read role',
      look: () => readRole(context),
      advice:
        'check CKAN_DATASTORE_READ_URL; the role needs SELECT on the tables (ckan datastore set-permissions)',
      leftOut: null,
    },
    {
      subject: 'change journal',
      look: () => journal(context),
      advice:
        'check CKAN_DATASTORE_READ_URL; run install-triggers with it, which gives that role the right to read the journal',
      leftOut: null,
    },
    {
      subject: 'DataStore, write role',
      look: () => writeRole(config.CKAN_DATASTORE_WRITE_URL ?? ''),
      advice: 'check CKAN_DATASTORE_WRITE_URL; it must be the role that owns the tables',
      leftOut: unset('CKAN_DATASTORE_WRITE_URL', 'triggers cannot be installed or kept up'),
    },
    {
      subject: 'state database',
      look: () => stateDatabase(config.DUMPER_STATE_URL ?? ''),
      advice: 'check DUMPER_STATE_URL; its role must own the database or be allowed to create schemas in it',
      leftOut: unset('DUMPER_STATE_URL', 'nothing can be published'),
    },
    {
      subject: 'blob store',
      look: () => blobStore(context, signal),
      advice:
        'check DUMPER_BLOB_STORE, AWS_ENDPOINT_URL_S3 and the credentials: put, get, list and delete are needed, and ETags that no proxy changes',
      leftOut: unset('DUMPER_BLOB_STORE', 'nothing can be published'),
    },
    {
      subject: 'CKAN',
      look: () => askCkan(context),
      advice: 'check CKAN_SITE_URL; it must answer /api/3/action/status_show without a login page in front',
      leftOut: config.DUMPER_AUTHORIZE === 'off' ? 'DUMPER_AUTHORIZE=off: everything is public' : null,
    },
    {
      subject: 'clock',
      look: () => clock(context),
      advice: 'synchronise the clocks (NTP): signed URLs and notices depend on them',
      leftOut: null,
    },
    {
      subject: 'public blob URL',
      look: () => reachable(config.DUMPER_PUBLIC_BLOB_URL ?? '', signal),
      advice: 'check DUMPER_PUBLIC_BLOB_URL from here and from outside',
      leftOut: unset('DUMPER_PUBLIC_BLOB_URL', 'every redirect is signed'),
    },
  ];
}

async function readRole({ readPool }: AppContext): Promise<string> {
  const { rows } = await readPool.query<{ role: string; version: string; writes: boolean }>(
    `SELECT current_user AS role, current_setting('server_version') AS version,
       EXISTS (SELECT FROM pg_class c WHERE c.relnamespace = 'public'::regnamespace AND c.relkind = 'r'
         AND has_table_privilege(c.oid, 'INSERT')) AS writes`,
  );
  const tables = await allTables(readPool);
  const [row] = rows;
  const unreadable = await unreadableTables(readPool, [...tables.keys()]);
  if (unreadable.length > 0) {
    const all = `${unreadable.length} of ${tables.size} tables`;
    throw new DumperError('CONFIGURATION', `${row?.role} may not read ${all}, such as ${unreadable[0]}`);
  }
  const caution = row?.writes ? '; it may write, which it need not' : '';
  return `${row?.role} on Postgres ${row?.version} reads ${tables.size} tables${caution}`;
}

async function unreadableTables(readPool: AppContext['readPool'], ids: readonly string[]): Promise<string[]> {
  const { rows } = await readPool.query<{ id: string }>(
    `SELECT c.relname::text AS id FROM pg_class c
     WHERE c.relnamespace = 'public'::regnamespace AND c.relname = ANY ($1)
       AND NOT (has_schema_privilege(c.relnamespace, 'USAGE') AND has_table_privilege(c.oid, 'SELECT'))
     ORDER BY id`,
    [ids],
  );
  return rows.map(({ id }) => id);
}

async function journal({ readPool }: AppContext): Promise<string | DoneWithout> {
  const status = await journalStatus(readPool);
  if (!status.installed) {
    const meanwhile = 'freshness is told by statistics counters, with their lag';
    return { doneWithout: `not installed: ${meanwhile}; install-triggers makes it exact` };
  }
  if (!status.readable) {
    const reason = 'it is installed, but the role of CKAN_DATASTORE_READ_URL may not read it';
    throw new DumperError('CONFIGURATION', `${reason}: no table is exact`);
  }
  const tables = [...(await allTables(readPool)).values()];
  const exact = tables.filter((table) => table.tier === 'exact').length;
  return `covers ${exact} of ${tables.length} tables`;
}

async function writeRole(url: string): Promise<string> {
  const client = new Client({ connectionString: url, connectionTimeoutMillis: 5000 });
  try {
    await client.connect();
    const { rows } = await client.query<{ role: string; foreign: number }>(
      `SELECT current_user AS role, count(*) FILTER (WHERE NOT pg_has_role(c.relowner, 'USAGE'))::int AS foreign
       FROM pg_class c WHERE c.relnamespace = 'public'::regnamespace AND c.relkind = 'r'
         AND NOT starts_with(c.relname::text, '_')`,
    );
    const [row] = rows;
    if (row && row.foreign > 0) {
      throw new DumperError('CONFIGURATION', `${row.role} does not own ${row.foreign} of the tables`);
    }
    return `${row?.role} owns the tables`;
  } finally {
    await client.end().catch(() => undefined);
  }
}

async function stateDatabase(url: string): Promise<string> {
  const state = await openState({ url, onIdleError: () => undefined });
  const records = await state.publications.all().finally(() => state.close());
  return `schema is up to date; ${records.size} tables are known`;
}

async function blobStore({ store }: AppContext, signal: AbortSignal): Promise<string> {
  if (store === null) throw new DumperError('CONFIGURATION', 'DUMPER_BLOB_STORE is not set');
  await store.check();
  const key = `.doctor/${randomBytes(8).toString('hex')}`;
  const body = randomBytes(1024);
  await store.put(key, Readable.from([body]), {
    contentType: 'application/octet-stream',
    contentDisposition: 'attachment',
    cacheControl: 'private, no-store',
    expectedBytes: body.length,
    signal,
  });
  try {
    const source = await store.read(key, signal);
    const same = source !== null && (await buffer(source)).equals(body);
    if (!same) throw new DumperError('BLOB_CORRUPT', 'what was read is not what was written');
    const conditions =
      (await probeConditionalWrites(store)) === 'hold'
        ? 'conditional writes hold'
        : 'conditional writes are ignored, so the fence in the state database alone keeps publications apart';
    return `${store.kind}: an object was written, read and deleted; ${conditions}`;
  } finally {
    await store.delete([key]);
  }
}

async function askCkan({ ckan }: AppContext): Promise<string> {
  const answer = await ckan?.ask({ action: 'status_show', parameters: {}, credentials: {}, method: 'GET' });
  if (answer === undefined) throw new DumperError('CONFIGURATION', 'CKAN_SITE_URL is not set');
  if (answer.kind === 'unavailable') throw new DumperError('CKAN_UNAVAILABLE', answer.reason);
  const version = (answer.result as { ckan_version?: unknown } | null)?.ckan_version;
  return `answers as CKAN ${String(version)}`;
}

/** Farthest that two clocks may be apart, in seconds. */
const mostSkewSeconds = 30;

async function clock({ readPool }: AppContext): Promise<string> {
  const { rows } = await readPool.query<{ now: Date }>('SELECT clock_timestamp() AS now');
  const skewSeconds = Math.abs(Date.now() - (rows[0]?.now.getTime() ?? 0)) / 1000;
  if (skewSeconds > mostSkewSeconds) {
    throw new DumperError('CONFIGURATION', `${skewSeconds.toFixed(0)} s apart from the clock of Postgres`);
  }
  return `within ${Math.max(1, Math.ceil(skewSeconds))} s of the clock of Postgres`;
}

async function reachable(url: string, signal: AbortSignal): Promise<string> {
  const deadline = AbortSignal.any([signal, AbortSignal.timeout(5000)]);
  const response = await fetch(url, { method: 'HEAD', redirect: 'manual', signal: deadline });
  return `answers with ${response.status}`;
}
