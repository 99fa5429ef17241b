/**
 * A corpus replayed against the running service: its DataStore in a fresh database, every table of it published into a
 * directory store in all eight variants, a small CKAN that gives the recorded permissions, one service for each set of
 * CKAN's settings, every case as a raw request. What is answered by a blob is asked live too, and both are judged.
 */
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { variants } from '../../src/format.ts';
import { ckanOfCorpus, startCkan, type FakeCkan } from '../world/fake-ckan.ts';
import { freshDatabase, type Database } from '../world/postgres.ts';
import { isPlainlyWhole } from './whole.ts';
import { environmentOf, readCorpus, type Case, type Corpus } from './corpus.ts';
import { judge, type Verdict } from './judge.ts';
import { send, type Answer } from './request.ts';
import { runProgram, startService } from './program.ts';

export interface Judged {
  readonly asked: Case;
  readonly source: 'blob' | 'live';
  readonly verdict: Verdict;
}

/** How many requests are under way at once. */
const atOnce = 4;

/** Replay the corpus in `folder` on the Postgres at `server` (superuser's URL). */
export async function replay(folder: string, server: string): Promise<readonly Judged[]> {
  const corpus = await readCorpus(folder);
  const database = await freshDatabase({ folder, server });
  const ckan = await startCkan(await ckanOfCorpus(folder));
  try {
    await runProgram(['install-triggers'], environment(database, ckan));
    const judged: Judged[] = [];
    for (const cases of bySettings(corpus)) {
      const settings = environmentOf(cases[0]?.config ?? {});
      judged.push(...(await replayWith({ ...environment(database, ckan), ...settings }, cases, ckan)));
    }
    return judged;
  } finally {
    await ckan.stop();
    await database.drop();
  }
}

function environment(database: Database, ckan: FakeCkan): Record<string, string> {
  return {
    CKAN_DATASTORE_READ_URL: database.readUrl,
    CKAN_DATASTORE_WRITE_URL: database.writeUrl,
    CKAN_SITE_URL: ckan.url,
    DUMPER_STATE_URL: database.stateUrl,
    DUMPER_FORMATS: variants.join(','),
  };
}

async function replayWith(
  settings: Readonly<Record<string, string>>,
  cases: readonly Case[],
  ckan: FakeCkan,
): Promise<readonly Judged[]> {
  const folder = await mkdtemp(path.join(tmpdir(), 'conformance-'));
  const published = { ...settings, DUMPER_BLOB_STORE: `file://${folder}` };
  try {
    await runProgram(['publish', '--all'], published);
    const service = await startService(published);
    try {
      return await replayCases(service.port, cases, ckan);
    } finally {
      await service.stop();
    }
  } finally {
    await rm(folder, { recursive: true, force: true });
  }
}

function bySettings({ cases }: Corpus): readonly Case[][] {
  return Object.values(Object.groupBy(cases, ({ config }) => JSON.stringify(environmentOf(config)))).map(
    (group) => group ?? [],
  );
}

async function replayCases(port: number, cases: readonly Case[], ckan: FakeCkan): Promise<Judged[]> {
  const judged: Judged[] = [];
  const waiting = cases.values();
  const worker = async (): Promise<void> => {
    for (const asked of waiting) judged.push(...(await replayCase(port, asked, ckan)));
  };
  await Promise.all(Array.from({ length: atOnce }, worker));
  return judged;
}

async function replayCase(port: number, asked: Case, ckan: FakeCkan): Promise<Judged[]> {
  const token = asked.auth === 'badtoken' ? 'no-such-token' : ckan.token(asked.auth);
  const ask = (target: string): Promise<Answer> => send(port, asked, token, target);
  const judged = async (source: Judged['source'], answer: Answer): Promise<Judged> => {
    const verdict = await judge(asked, answer, ask);
    return { asked, source, verdict };
  };
  try {
    const answer = await ask(asked.path);
    if (answer.status === 302) {
      const blob = await send(port, asGet, undefined, answer.headers.get('location'));
      return [await judged('blob', blob), await judged('live', await ask(live(asked.path)))];
    }
    if (isPlainlyWhole(asked) && answer.status === 200)
      return [{ asked, source: 'live', verdict: { kind: 'different', reason: 'live although whole' } }];
    return [await judged('live', answer)];
  } catch (error) {
    return [{ asked, source: 'live', verdict: { kind: 'different', reason: `no answer: ${String(error)}` } }];
  }
}

/** A plain request, for the blob's own address. */
const asGet = { method: 'GET', path: '/', request_headers: {}, request_body: null };

/** The same question, to be answered live. */
function live(target: string): string {
  return `${target}${target.includes('?') ? '&' : '?'}latest=true`;
}

/** Lines of a table: group, same, repaired, different, and a sum. */
export function tabulate(judged: readonly Judged[]): string {
  const groups = [...new Set(judged.map(({ asked }) => asked.group))].sort();
  const row = (name: string, some: readonly Judged[]): string =>
    [
      name.padEnd(16),
      ...(['same', 'repaired', 'different'] as const).map((kind) => String(count(some, kind)).padStart(10)),
    ].join('');
  return [
    `${'group'.padEnd(16)}${['same', 'repaired', 'different'].map((kind) => kind.padStart(10)).join('')}`,
    ...groups.map((group) =>
      row(
        group,
        judged.filter(({ asked }) => asked.group === group),
      ),
    ),
    row('all', judged),
  ].join('\n');
}

export function count(judged: readonly Judged[], kind: Verdict['kind']): number {
  return judged.filter(({ verdict }) => verdict.kind === kind).length;
}

/** The cases that differ, a line each. */
export function differences(judged: readonly Judged[]): readonly string[] {
  return judged.flatMap(({ asked, verdict }) =>
    verdict.kind === 'different'
      ? [`${asked.id} ${asked.method} ${asked.path.slice(0, 200)}: ${verdict.reason}`]
      : [],
  );
}
