/** P15: notifications that somebody made up cost a bounded number of questions, and neither the loop nor the real ones. */
import { setImmediate as nextTurn } from 'node:timers/promises';
import { afterEach, expect, test } from 'vitest';
import { createEnqueue } from '../../src/change/enqueue.ts';
import { listenForChanges } from '../../src/change/listener.ts';
import { createLog } from '../../src/log.ts';
import type { Queryable } from '../../src/postgres/pool.ts';
import type { JobRequest } from '../../src/state/publications.ts';
import { eventually } from '../world/eventually.ts';
import { installationFixture, type Installation } from '../world/installation.ts';
import { linesInto } from '../world/log-lines.ts';

let installation: Installation;
afterEach(() => installation.end());

/** Each by a transaction of its own, so that Postgres sends them apart; then the name of a real table. */
const flood = 20_000;

async function listening(
  onChange: (names: readonly string[]) => void,
  lines: string[] = [],
): Promise<{ stop: () => Promise<void> }> {
  const abort = new AbortController();
  const begun = Promise.withResolvers<void>();
  const ended = listenForChanges({
    url: installation.database.readUrl,
    log: createLog('warn', linesInto(lines)),
    onChange,
    onListening: () => begun.resolve(),
    signal: abort.signal,
  });
  await begun.promise;
  return {
    stop: async () => {
      abort.abort();
      await ended;
    },
  };
}

async function notify(count: number, prefix = 'made-up-'): Promise<void> {
  const reader = await installation.connect(installation.database.readUrl);
  await reader.query(
    `SELECT pg_notify('datastore_dumper', $1::text || n) FROM generate_series(1, $2::int) n`,
    [prefix, count],
  );
}

test('P15: of 20,000 made-up notifications at most 1,000 a second are looked up, with one line of the log', async () => {
  installation = await installationFixture();
  const heard: string[] = [];
  const lines: string[] = [];
  const began = performance.now();
  const { stop } = await listening((names) => heard.push(...names), lines);
  await notify(flood);
  await eventually('the log says so', () => lines.length > 0, { seconds: 25 });
  await notify(1, 'a-real-one-');
  await eventually('a later one is heard', () => heard.includes('a-real-one-1'));
  const seconds = Math.ceil((performance.now() - began) / 1000) + 1;
  expect(heard.length).toBeGreaterThan(1);
  expect(heard.length).toBeLessThanOrEqual(1000 * seconds);
  expect(lines.filter((line) => line.includes('too many notifications'))).toHaveLength(1);
  await stop();
});

test('P15: a batch of names is looked up by one question each, and the loop turns meanwhile', async () => {
  installation = await installationFixture();
  await installation.createTable('real', 1);
  await installation.asOwner('CREATE VIEW "by alias" AS SELECT * FROM real');
  const pool = installation.openPool({ applicationName: 'test flood' });
  const state = await installation.openState();
  let questions = 0;
  const read: Queryable = {
    query: async (query, values) => {
      questions += 1;
      return pool.query(query, values);
    },
  };
  const jobs: JobRequest[] = [];
  const send = async (requests: readonly JobRequest[]): Promise<void> => void jobs.push(...requests);
  const { enqueueByName } = createEnqueue({
    read,
    publications: state.publications,
    queue: { send, sendNow: send },
    timing: { quietSeconds: 0, hotTableFactor: 0 },
    taskStatus: null,
  });
  let turns = 0;
  const ended = new AbortController();
  const pings = (async () => {
    for (; !ended.signal.aborted; turns += 1) await nextTurn();
  })();
  const names = Array.from({ length: flood }, (_, index) => `made-up-${index}`);
  await enqueueByName([...names, 'by alias', 'real', 'nul\0', 'x'.repeat(64)]);
  ended.abort();
  await pings;
  expect(jobs.map(({ id }) => id)).toEqual(['real']);
  expect(questions).toBe(1);
  expect(turns).toBeGreaterThan(10);
});
