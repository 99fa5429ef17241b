/** CKAN as a neighbour: what it answers wrongly is never quoted, and what it is told never stands in anybody's way. */
import http from 'node:http';
import type { AddressInfo, Socket } from 'node:net';
import { afterEach, describe, expect, it } from 'vitest';
import { createCkan, type Ckan } from '../../src/ckan/client.ts';
import {
  createTaskStatusReporter,
  type TaskStatusReporter,
  type TaskStatus,
} from '../../src/ckan/task-status.ts';
import { createLog } from '../../src/log.ts';
import { publicResources } from '../../src/ckan/public-resources.ts';
import { anonymous } from '../../src/serve/caller.ts';
import { createPermission } from '../../src/serve/permission.ts';
import { asResourceId } from '../../src/postgres/table.ts';
import { recordCount } from '../world/counts.ts';
import { eventually } from '../world/eventually.ts';
import { linesInto } from '../world/log-lines.ts';

const ending: (() => unknown)[] = [];
afterEach(async () => {
  for (const end of ending.splice(0).toReversed()) await end();
});

async function ckanThat(answer: http.RequestListener): Promise<Ckan> {
  const server = http.createServer(answer);
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  const siteUrl = `http://127.0.0.1:${(server.address() as AddressInfo).port}`;
  const ckan = createCkan({ siteUrl, timeoutSeconds: 2, now: Date.now });
  ending.push(() => {
    ckan.close();
    server.closeAllConnections();
    return new Promise((resolve) => server.close(resolve));
  });
  return ckan;
}

const json = { 'content-type': 'application/json' };

describe('P18: what CKAN says wrongly is never quoted', () => {
  it('an echo of the token, in any status and shape, does not come back as a reason', async () => {
    const secret = 'canary-token-4711';
    const shapes: ((token: string) => string)[] = [
      (token) => token,
      (token) => `{"token": "${token}"`,
      (token) => JSON.stringify({ token }),
      (token) => JSON.stringify(token),
      (token) => JSON.stringify({ success: true, error: token }),
      (token) => JSON.stringify({ success: false, error: { message: token } }),
    ];
    let tried = 0;
    for (const shape of shapes) {
      for (const status of [200, 302, 400, 403, 404, 500, 503]) {
        const ckan = await ckanThat((request, response) => {
          response.writeHead(status, { ...json, location: `/login?${request.headers.authorization ?? ''}` });
          response.end(shape(request.headers.authorization ?? ''));
        });
        const credentials = { authorization: secret };
        const answer = await ckan.ask({ action: 'x', parameters: {}, credentials, method: 'GET' });
        if (answer.kind === 'unavailable') expect(answer.reason).not.toContain('canary');
        tried += 1;
      }
    }
    recordCount('P18', 'echoes of a token by CKAN', tried);
  });
});

describe('P21: a kept connection that CKAN has closed', () => {
  const question = { action: 'x', parameters: {}, credentials: {}, method: 'POST' } as const;
  const used = new WeakSet<Socket>();

  /** Answers the first question of each connection; `again` deals with the later ones. */
  async function closing(again: (response: http.ServerResponse) => void) {
    let asked = 0;
    const ckan = await ckanThat((request, response) => {
      asked += 1;
      if (used.has(request.socket)) return again(response);
      used.add(request.socket);
      response.writeHead(200, json).end(JSON.stringify({ success: true, result: asked }));
    });
    return { ckan, asked: () => asked };
  }

  it('costs no question: it is asked once more, on a new one', async () => {
    const { ckan, asked } = await closing((response) => response.socket?.resetAndDestroy());
    expect(await ckan.ask(question)).toMatchObject({ kind: 'answer', result: 1 });
    expect(await ckan.ask(question)).toMatchObject({ kind: 'answer', result: 3 });
    expect(asked()).toBe(3);
  });

  it('is told from a new one, and from an answer that breaks off: those are failures', async () => {
    const broken = await closing((response) => {
      response.writeHead(200, json).write('{', () => response.socket?.resetAndDestroy());
    });
    await broken.ckan.ask(question);
    expect(await broken.ckan.ask(question)).toMatchObject({ kind: 'unavailable' });
    expect(broken.asked()).toBe(2);
    let asked = 0;
    const refusing = await ckanThat((_request, response) => {
      asked += 1;
      response.socket?.resetAndDestroy();
    });
    expect(await refusing.ask(question)).toMatchObject({ kind: 'unavailable' });
    expect(asked).toBe(1);
  });
});

describe('P9: how CKAN is asked for permission', () => {
  it('one 400 on the way does not decide it for good; a trial that fails later changes nothing', async () => {
    const statuses: Record<string, number> = { datastore_authorize: 400, datastore_search: 200 };
    const asked: string[] = [];
    const ckan = await ckanThat((request, response) => {
      const action = new URL(request.url ?? '', 'http://ckan').pathname.split('/').at(-1) ?? '';
      asked.push(action);
      const status = statuses[action] ?? 404;
      response.writeHead(status, json).end(JSON.stringify({ success: status === 200, result: {} }));
    });
    let now = 0;
    const log = createLog('silent');
    const options = { ckan, decisionSeconds: 0, publicTables: [], shared: null, now: () => now, log };
    const permission = createPermission(options);
    const askedFor = async (): Promise<string[]> => {
      asked.length = 0;
      expect(await permission.mayRead('a', anonymous)).toEqual({ kind: 'allowed', public: true });
      return [...asked];
    };
    expect(await askedFor()).toEqual(['datastore_authorize', 'datastore_search']);
    expect(await askedFor()).toEqual(['datastore_search']);
    now += 301_000;
    statuses['datastore_authorize'] = 429;
    expect(await askedFor()).toEqual(['datastore_authorize', 'datastore_search']);
    expect(await askedFor()).toEqual(['datastore_search']);
    now += 301_000;
    statuses['datastore_authorize'] = 200;
    expect(await askedFor()).toEqual(['datastore_authorize']);
    expect(permission.how()).toBe('datastore_authorize');
  });
});

interface Told {
  readonly entity_id: string;
  readonly state: string;
  readonly error: string;
}

async function reporting(statusOf: (told: readonly Told[]) => number, anyone: boolean | null = true) {
  const told: Told[] = [];
  let atOnce = 0;
  let mostAtOnce = 0;
  const ckan = await ckanThat((request, response) => {
    atOnce += 1;
    mostAtOnce = Math.max(mostAtOnce, atOnce);
    const chunks: Buffer[] = [];
    request.on('data', (chunk: Buffer) => chunks.push(chunk));
    request.on('end', () => {
      told.push(JSON.parse(Buffer.concat(chunks).toString()) as Told);
      const status = statusOf(told);
      atOnce -= 1;
      response.writeHead(status, json).end(JSON.stringify({ success: status === 200, result: {} }));
    });
  });
  const lines: string[] = [];
  const report: TaskStatusReporter = createTaskStatusReporter({
    ckan,
    tokenHeader: 'Authorization',
    token: 'canary-api-token',
    isPublic: async () => anyone,
    log: createLog('trace', linesInto(lines)),
    now: () => new Date(),
    pauseMilliseconds: 1,
  });
  ending.push(() => report.close(0));
  const idle = () => eventually('told', () => told.at(-1)?.entity_id === 'last');
  return { told, lines, report, idle, mostAtOnce: () => mostAtOnce };
}

const pending: TaskStatus = { state: 'pending' };
const failed = (reason: string): TaskStatus => ({ state: 'error', reason });

describe('task status', () => {
  it('one word a table, the newest, one at a time, the same never twice', async () => {
    const { told, report, idle, mostAtOnce } = await reporting(() => 200);
    for (let round = 0; round < 500; round += 1) {
      for (const id of ['a', 'b'])
        report.enqueueStatus(asResourceId(id), round % 2 === 0 ? pending : failed('x'));
    }
    report.enqueueStatus(asResourceId('last'), pending);
    await idle();
    expect(told.length).toBeLessThan(10);
    for (const id of ['a', 'b']) expect(told.findLast((word) => word.entity_id === id)?.state).toBe('error');
    const before = told.length;
    report.enqueueStatus(asResourceId('a'), failed('x'));
    await report.close(1);
    expect([told.length, mostAtOnce()]).toEqual([before, 1]);
  });

  it('P9: of what is not public, or not known to be, no reason is told', async () => {
    for (const anyone of [true, false, null]) {
      const { told, report, idle } = await reporting(() => 200, anyone);
      report.enqueueStatus(asResourceId('last'), failed('column "salary" is too large'));
      await idle();
      expect(told[0]?.error).toBe(anyone ? 'column "salary" is too large' : 'see the status of the dumps');
    }
  });

  it('CKAN down: tried again, said once in the log; refused: dropped; no token in a line', async () => {
    const { told, lines, report, idle } = await reporting((words) => (words.length < 5 ? 500 : 200));
    report.enqueueStatus(asResourceId('a'), pending);
    report.enqueueStatus(asResourceId('last'), pending);
    await idle();
    await eventually('said', () => lines.some((line) => line.includes('again')));
    expect(lines.filter((line) => line.includes('does not take'))).toHaveLength(1);
    expect(told.filter(({ entity_id }) => entity_id === 'a').length).toBeGreaterThan(1);
    const refusing = await reporting(() => 403);
    refusing.report.enqueueStatus(asResourceId('a'), pending);
    refusing.report.enqueueStatus(asResourceId('last'), pending);
    await refusing.idle();
    expect(refusing.told).toHaveLength(2);
    expect([...lines, ...refusing.lines].join('\n')).not.toContain('canary');
  });
});

describe('what is public, in pages', () => {
  it('10,000 resources in as many questions as there are pages; cut short is told as such', async () => {
    let asked = 0;
    let failing = false;
    const ckan = await ckanThat((request, response) => {
      asked += 1;
      const { searchParams } = new URL(request.url ?? '', 'http://ckan');
      const [start, rows] = [Number(searchParams.get('start')), Number(searchParams.get('rows'))];
      const results = Array.from({ length: Math.min(rows, 5000 - start) }, (_, index) => ({
        resources: [{ id: `r${start + index}` }, { id: `s${start + index}` }],
      }));
      const status = failing && start > 1000 ? 500 : 200;
      response
        .writeHead(status, json)
        .end(JSON.stringify({ success: status === 200, result: { count: 5000, results } }));
    });
    const all = await publicResources(ckan);
    expect([all.whole, all.ids.size, asked]).toEqual([true, 10_000, 25]);
    failing = true;
    const some = await publicResources(ckan);
    expect([some.whole, some.ids.size]).toEqual([false, 2400]);
  });
});
