/**
 * Promise P16 proved: hostile questions against the running service, which here reads as a superuser, so that whatever
 * text became SQL would have power. Nothing answers 5xx, no error text holds SQL, Postgres's own log of executed
 * statements holds known shapes only, and a canary table stays as it was.
 */
import http from 'node:http';
import { startService } from '../conformance/program.ts';
import { asAdmin, freshDatabase, startPostgres } from '../world/postgres.ts';
import { hostileTarget, seeded } from './requests.ts';
import { entryMark, isPlanned, shapeOf, statementsOf } from './statements.ts';

export interface FuzzReport {
  readonly requests: number;
  readonly statuses: Readonly<Record<string, number>>;
  readonly statements: number;
  /** The statements that calm questions need, identifiers aside. */
  readonly shapes: readonly string[];
  /** What broke the promise, a line each. */
  readonly faults: readonly string[];
}

const tables = ['fuzzed', 'fuzz alias'];

const schema = `
  CREATE TYPE nested AS (json json, extra text);
  CREATE TABLE canary (_id serial PRIMARY KEY, _full_text tsvector, secret text);
  INSERT INTO canary (secret) SELECT 'canary ' || i FROM generate_series(1, 50) i;
  CREATE TABLE fuzzed (_id serial PRIMARY KEY, _full_text tsvector, name text, n int4, ts timestamp, tags text[],
    doc nested, "we""ird" text, "quo'te" numeric, "a:b" bool, "100%" jsonb, rank date);
  INSERT INTO fuzzed (name, n, ts, tags, doc, "we""ird", "quo'te", _full_text)
    SELECT 'name ' || i, i, timestamp '2020-01-01' + i * interval '1 hour', ARRAY['x', i::text], ROW('{"k": 1}'::json, ''::text)::nested, 'w', i / 3.0,
      to_tsvector('english', 'name ' || i) FROM generate_series(1, 20) i;
  CREATE VIEW "fuzz alias" AS SELECT * FROM fuzzed;
  CREATE VIEW _table_metadata AS SELECT 'a'::text AS _id, 'fuzz alias'::name AS name, 1::oid AS oid, 'fuzzed'::name AS alias_of;
`;

const calm = (
  '|?limit=1|?format=json&q=name|?format=xml&distinct=true&fields=name|?filters={"n":1}|?sort=n desc|?fields=nope|' +
  '?q={"name":"x"}&language=simple&plain=false|?language=klingon&q=x|?filters={"n":"x"}|?latest=true'
).split('|');
const calmTargets = ['fuzzed', 'fuzz%20alias', 'absent', '_table_metadata', 'canary'].flatMap((name) =>
  calm.map((query) => `/datastore/dump/${name}${encodeURI(query)}`),
);

/** Postgres's log of a round is held in memory: bounded rounds, each on a server of its own. */
const roundRequests = 10_000;

/** Ask `requests` hostile questions of each version's rules in turn, `seed` deciding which. */
export async function fuzz(requests: number, seed: number): Promise<FuzzReport> {
  const rounds: FuzzReport[] = [];
  for (let asked = 0; asked < requests; asked += roundRequests) {
    rounds.push(await fuzzRound(Math.min(roundRequests, requests - asked), seed + asked));
  }
  return rounds.reduce(added);
}

function added(sum: FuzzReport, round: FuzzReport): FuzzReport {
  const statuses = { ...sum.statuses };
  for (const [status, times] of Object.entries(round.statuses))
    statuses[status] = (statuses[status] ?? 0) + times;
  return {
    requests: sum.requests + round.requests,
    statuses,
    statements: sum.statements + round.statements,
    shapes: [...new Set([...sum.shapes, ...round.shapes])],
    faults: [...sum.faults, ...round.faults],
  };
}

const statementLog = {
  log_statement: 'all',
  log_line_prefix: entryMark,
  log_parameter_max_length: 0,
  log_parameter_max_length_on_error: 0,
  log_min_messages: 'log',
  log_min_error_statement: 'panic',
};

async function fuzzRound(requests: number, seed: number): Promise<FuzzReport> {
  const server = await startPostgres({ settings: statementLog });
  try {
    const run = await ask(server.adminUrl, requests, seed);
    return report(run, server.log());
  } finally {
    await server.stop();
  }
}

interface Run {
  readonly requests: number;
  readonly statuses: Record<string, number>;
  readonly faults: string[];
  readonly identifiers: ReadonlySet<string>;
}

async function ask(server: string, requests: number, seed: number): Promise<Run> {
  const database = await freshDatabase({ server });
  const run: Run = { requests, statuses: {}, faults: [], identifiers: await prepare(database.adminUrl) };
  try {
    const before = await fingerprint(database.adminUrl);
    for (const [index, version] of ['2.11', '2.12'].entries()) {
      await marked(database.adminUrl, 'calm');
      const service = await startService({
        CKAN_DATASTORE_READ_URL: database.adminUrl,
        DUMPER_AUTHORIZE: 'off',
        DUMPER_CKAN_VERSION: version,
      });
      try {
        for (const target of calmTargets) await judgeOne(run, service.port, target);
        await marked(database.adminUrl, 'hostile');
        await storm(run, service.port, Math.ceil(requests / 2), seed + index);
      } finally {
        await service.stop();
      }
    }
    await marked(database.adminUrl, 'setup');
    if ((await fingerprint(database.adminUrl)) !== before)
      run.faults.push('the canary or the catalogue changed');
    return run;
  } finally {
    await database.drop();
  }
}

async function prepare(url: string): Promise<ReadonlySet<string>> {
  return asAdmin(url, async (client) => {
    await client.query('DROP VIEW IF EXISTS _table_metadata; DROP TYPE IF EXISTS nested CASCADE');
    await client.query(schema);
    const { rows } = await client.query<{ name: string }>(
      `SELECT attname::text AS name FROM pg_attribute JOIN pg_class c ON c.oid = attrelid WHERE relnamespace = 'public'::regnamespace
       UNION SELECT relname::text FROM pg_class WHERE relnamespace = 'public'::regnamespace`,
    );
    return new Set(rows.map(({ name }) => name));
  });
}

/** What hostile text would have changed: rows, relations, functions, roles, settings. */
async function fingerprint(url: string): Promise<string> {
  return asAdmin(url, async (client) => {
    const { rows } = await client.query<{ print: string }>(
      `SELECT concat_ws('/', (SELECT md5(string_agg(c::text, ',' ORDER BY _id)) FROM canary c), (SELECT md5(string_agg(f::text, ',' ORDER BY _id)) FROM fuzzed f),
         (SELECT count(*) FROM pg_class), (SELECT count(*) FROM pg_proc), (SELECT count(*) FROM pg_roles), (SELECT count(*) FROM pg_db_role_setting)) AS print`,
    );
    return rows[0]?.print ?? '';
  });
}

async function marked(url: string, phase: string): Promise<void> {
  await asAdmin(url, (client) => client.query(`/* phase ${phase} */ SELECT 1`));
}

const atOnce = 6;

async function storm(run: Run, port: number, requests: number, seed: number): Promise<void> {
  const random = seeded(seed);
  let left = requests;
  const worker = async (): Promise<void> => {
    while (left-- > 0) await judgeOne(run, port, hostileTarget(random, tables));
  };
  await Promise.all(Array.from({ length: atOnce }, worker));
}

const agent = new http.Agent({ keepAlive: true, maxSockets: atOnce });
const sqlWords = /\b(?:SELECT|COPY|current_setting|set_config|dumper\.v|plainto_tsquery|SQLSTATE)\b/;

async function judgeOne(run: Run, port: number, target: string): Promise<void> {
  const { status, body } = await get(port, target);
  run.statuses[status] = (run.statuses[status] ?? 0) + 1;
  if (status >= 500) run.faults.push(`${status}: ${target}`);
  if (status >= 400 && sqlWords.test(body)) run.faults.push(`SQL in the answer's text: ${target}`);
}

function get(port: number, target: string): Promise<{ status: number; body: string }> {
  return new Promise((resolve, reject) => {
    const request = http.get({ port, host: '127.0.0.1', path: target, agent }, (response) => {
      const chunks: Buffer[] = [];
      response.on('data', (chunk: Buffer) => chunks.push(chunk));
      response.on('end', () =>
        resolve({ status: response.statusCode ?? 0, body: Buffer.concat(chunks).toString() }),
      );
      response.on('error', reject);
    });
    request.on('error', reject);
  });
}

function report({ requests, statuses, faults, identifiers }: Run, log: string): FuzzReport {
  const known = new Set<string>();
  let phase = 'setup';
  let statements = 0;
  for (const statement of statementsOf(log)) {
    phase = /^\/\* phase (\w+)/.exec(statement)?.[1] ?? phase;
    if (phase === 'setup') continue;
    const shape = shapeOf(statement, identifiers);
    statements += 1;
    if (phase === 'calm' && shape !== null) known.add(shape.replace('phase calm', 'phase hostile'));
    else if (shape === null || !(known.has(shape) || isPlanned(shape))) {
      faults.push(`unknown statement: ${statement.slice(0, 300)}`);
    }
  }
  return { requests, statuses, statements, shapes: [...known].toSorted(), faults };
}
