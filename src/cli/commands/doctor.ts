/**
 * `doctor`: tries every setting and right of this installation for real, and says what to do about what fails.
 *
 * Each check is one function; none changes anything but the probe object in the blob store. Whether a dependency can be
 * used at all is asked as `/readyz` asks it (`app/readiness.ts`).
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
import { checkBlobStore, checkCkan, checkDatabase } from '../../app/readiness.ts';

interface Check {
  readonly subject: string;
  /** What is true when it passes, or why it was skipped; throws what is wrong. */
  readonly check: () => Promise<string | Skipped>;
  /** What to do when it fails. */
  readonly advice: string;
  /** Why it is skipped, or null. */
  readonly skipped: string | null;
}

interface Skipped {
  readonly skipped: string;
}

export async function doctorCommand(context: AppContext, run: Run): Promise<ExitCode> {
  let failed = 0;
  for (const check of checks(context, run.signal)) {
    run.signal.throwIfAborted();
    const finding = await runCheck(check);
    if (finding.state === 'failed') failed += 1;
    if (run.output.json) run.output.line(JSON.stringify(finding));
    else {
      run.output.line(`${marks[finding.state]} ${finding.subject}: ${finding.detail}`);
      if (finding.state === 'failed') run.output.line(`     → ${check.advice}`);
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

async function runCheck({ subject, check, skipped }: Check): Promise<Finding> {
  if (skipped !== null) return { subject, state: 'left out', detail: skipped };
  try {
    const result = await check();
    return typeof result === 'string'
      ? { subject, state: 'ok', detail: result }
      : { subject, state: 'left out', detail: result.skipped };
  } catch (error) {
    return { subject, state: 'failed', detail: redact(errorMessage(error)) };
  }
}

function checks(context: AppContext, signal: AbortSignal): Check[] {
  const { config } = context;
  const unset = (name: keyof typeof config, meaning: string): string | null =>
    config[name] === undefined ? `${name} is not set: ${meaning}` : null;
  return [
    {
      subject: 'DataStore, read role',
      check: () => checkReadRole(context),
      advice:
        'check CKAN_DATASTORE_READ_URL; the role needs SELECT on the tables (ckan datastore set-permissions)',
      skipped: null,
    },
    {
      subject: 'change journal',
      check: () => checkJournal(context),
      advice:
        'check CKAN_DATASTORE_READ_URL; run install-triggers with it, which gives that role the right to read the journal',
      skipped: null,
    },
    {
      subject: 'DataStore, write role',
      check: () => checkWriteRole(config.CKAN_DATASTORE_WRITE_URL ?? ''),
      advice: 'check CKAN_DATASTORE_WRITE_URL; it must be the role that owns the tables',
      skipped: unset('CKAN_DATASTORE_WRITE_URL', 'triggers cannot be installed or kept up'),
    },
    {
      subject: 'state database',
      check: () => checkState(config.DUMPER_STATE_URL ?? ''),
      advice: 'check DUMPER_STATE_URL; its role must own the database or be allowed to create schemas in it',
      skipped: unset('DUMPER_STATE_URL', 'nothing can be published'),
    },
    {
      subject: 'blob store',
      check: () => checkObjects(context, signal),
      advice:
        'check DUMPER_BLOB_STORE, AWS_ENDPOINT_URL_S3 and the credentials: put, get, list and delete are needed, and ETags that no proxy changes',
      skipped: unset('DUMPER_BLOB_STORE', 'nothing can be published'),
    },
    {
      subject: 'CKAN',
      check: () => checkCkan(context.ckan),
      advice: 'check CKAN_SITE_URL; it must answer /api/3/action/status_show without a login page in front',
      skipped: config.DUMPER_AUTHORIZE === 'off' ? 'DUMPER_AUTHORIZE=off: everything is public' : null,
    },
    {
      subject: 'clock',
      check: () => checkClock(context),
      advice: 'synchronise the clocks (NTP): signed URLs and notices depend on them',
      skipped: null,
    },
    {
      subject: 'public blob URL',
      check: () => checkPublicUrl(config.DUMPER_PUBLIC_BLOB_URL ?? '', signal),
      advice: 'check DUMPER_PUBLIC_BLOB_URL from here and from outside',
      skipped: unset('DUMPER_PUBLIC_BLOB_URL', 'every redirect is signed'),
    },
  ];
}

async function checkReadRole({ readPool }: AppContext): Promise<string> {
  await checkDatabase(readPool);
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

async function checkJournal({ readPool }: AppContext): Promise<string | Skipped> {
  const status = await journalStatus(readPool);
  if (!status.installed) {
    const meanwhile = 'freshness is told by statistics counters, with their lag';
    return { skipped: `not installed: ${meanwhile}; install-triggers makes it exact` };
  }
  if (!status.readable) {
    const reason = 'it is installed, but the role of CKAN_DATASTORE_READ_URL may not read it';
    throw new DumperError('CONFIGURATION', `${reason}: no table is exact`);
  }
  const tables = [...(await allTables(readPool)).values()];
  const exact = tables.filter((table) => table.tier === 'exact').length;
  return `covers ${exact} of ${tables.length} tables`;
}

async function checkWriteRole(url: string): Promise<string> {
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

async function checkState(url: string): Promise<string> {
  const state = await openState({ url, onIdleError: () => undefined });
  const records = await checkDatabase(state.pool)
    .then(() => state.publications.all())
    .finally(() => state.close());
  return `schema is up to date; ${records.size} tables are known`;
}

async function checkObjects({ store }: AppContext, signal: AbortSignal): Promise<string> {
  if (store === null) throw new DumperError('CONFIGURATION', 'DUMPER_BLOB_STORE is not set');
  await checkBlobStore(store);
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

/** Farthest that two clocks may be apart, in seconds. */
const mostSkewSeconds = 30;

async function checkClock({ readPool }: AppContext): Promise<string> {
  const { rows } = await readPool.query<{ now: Date }>('SELECT clock_timestamp() AS now');
  const skewSeconds = Math.abs(Date.now() - (rows[0]?.now.getTime() ?? 0)) / 1000;
  if (skewSeconds > mostSkewSeconds) {
    throw new DumperError('CONFIGURATION', `${skewSeconds.toFixed(0)} s apart from the clock of Postgres`);
  }
  return `within ${Math.max(1, Math.ceil(skewSeconds))} s of the clock of Postgres`;
}

async function checkPublicUrl(url: string, signal: AbortSignal): Promise<string> {
  const deadline = AbortSignal.any([signal, AbortSignal.timeout(5000)]);
  const response = await fetch(url, { method: 'HEAD', redirect: 'manual', signal: deadline });
  return `answers with ${response.status}`;
}
