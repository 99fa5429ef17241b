/**
 * A corpus replayed against the running service: its DataStore in a fresh database, a small CKAN that gives the recorded
 * permissions, one service for each set of CKAN's settings, every case as a raw request.
 */
import { ckanOfCorpus, startCkan, type StandInCkan } from '../world/ckan.ts';
import { freshDatabase } from '../world/postgres.ts';
import { environmentOf, readCorpus, type Case, type Corpus } from './corpus.ts';
import { formatOf, judge, type Verdict } from './judge.ts';
import { send } from './request.ts';
import { startService } from './service.ts';

export interface Judged {
  readonly asked: Case;
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
    const judged: Judged[] = [];
    for (const cases of bySettings(corpus)) {
      const service = await startService({
        CKAN_DATASTORE_READ_URL: database.readUrl,
        CKAN_SITE_URL: ckan.url,
        ...environmentOf(cases[0]?.config ?? {}),
      });
      try {
        judged.push(...(await replayCases(service.port, cases, ckan)));
      } finally {
        await service.stop();
      }
    }
    return judged;
  } finally {
    await ckan.stop();
    await database.drop();
  }
}

function bySettings({ cases }: Corpus): readonly Case[][] {
  return Object.values(Object.groupBy(cases, ({ config }) => JSON.stringify(environmentOf(config)))).map(
    (group) => group ?? [],
  );
}

async function replayCases(port: number, cases: readonly Case[], ckan: StandInCkan): Promise<Judged[]> {
  const judged: Judged[] = [];
  const waiting = cases.values();
  const worker = async (): Promise<void> => {
    for (const asked of waiting) judged.push({ asked, verdict: await replayCase(port, asked, ckan) });
  };
  await Promise.all(Array.from({ length: atOnce }, worker));
  return judged;
}

async function replayCase(port: number, asked: Case, ckan: StandInCkan): Promise<Verdict> {
  const token = asked.auth === 'badtoken' ? 'no-such-token' : ckan.token(asked.auth);
  try {
    const answer = await send(port, asked, token);
    const inCsv = asked.path.replace(/([?&]format=)\w+/, '$1csv');
    return await judge(asked, answer, () =>
      formatOf(asked) === 'csv' ? Promise.resolve(answer) : send(port, asked, token, inCsv),
    );
  } catch (error) {
    return { kind: 'different', reason: `no answer: ${String(error)}` };
  }
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
