/**
 * P4 and the base of the soak: writers and readers at once, notices lost, doubled, reordered and late, until enough
 * was read. Whoever runs it may kill, stop and start processes meanwhile.
 */
import { createHmac } from 'node:crypto';
import http from 'node:http';
import { setTimeout as delay } from 'node:timers/promises';
import { eventually } from '../world/eventually.ts';
import type { ProcessFixture } from './processes.ts';
import { seeded, type Random } from './random.ts';
import { createVersions, get, read, write, type Reads, type Versions } from './versions.ts';

export const noticeSecret = 'a secret of the workload';

export interface WorkloadOptions {
  readonly tables: number;
  readonly rows: number;
  readonly writers: number;
  readonly readers: number;
  readonly withDdl: boolean;
  readonly seed: number;
  /** Longest pause of a writer after a commit, in milliseconds. */
  readonly restMilliseconds: number;
}

export interface Workload {
  readonly versions: Versions;
  readonly reads: Reads;
  commits(): number;
  /** Read and write until `enough`, against these services. */
  run(bases: readonly string[], enough: () => boolean): Promise<void>;
  /** Every table is answered from its blob, in its last version. */
  settle(base: string): Promise<void>;
}

export async function openWorkload(world: ProcessFixture, options: WorkloadOptions): Promise<Workload> {
  const owner = await world.connect();
  const versions = await createVersions(owner, options.tables, options.rows);
  const reads: Reads = { blob: 0, live: 0, busy: 0, violations: [] };
  const clients = await Promise.all(Array.from({ length: options.writers }, () => world.connect()));
  let commits = 0;
  return {
    versions,
    reads,
    commits: () => commits,
    run: async (bases, enough) => {
      const stop = (): boolean => enough() || reads.violations.length > 0;
      const writing = clients.map((client, index) => {
        const random = seeded(options.seed * 1000 + index);
        return write(client, versions, random, {
          withDdl: options.withDdl,
          until: stop,
          onCommit: async (table) => {
            commits += 1;
            notify(bases, table, random);
            // in bursts: some tables come to rest and are published
            await delay(random(3) === 0 ? random(30) : random(options.restMilliseconds));
          },
        });
      });
      const reading = Array.from({ length: options.readers }, (_, index) =>
        read(bases, versions, seeded(options.seed * 7777 + index), { until: stop, reads }),
      );
      await Promise.all([...writing, ...reading]);
    },
    settle: (base) => settle(base, versions),
  };
}

/** Tell of a change as a bad messenger does: not at all, once, twice, late, or of another table. */
function notify(bases: readonly string[], table: string, random: Random): void {
  const base = bases[random(bases.length)] ?? '';
  const kind = random(5);
  if (kind === 0) return;
  const send = (): void => post(`${base}/notices`, { resource_id: kind === 4 ? 'v-000' : table });
  if (kind === 3) setTimeout(send, random(400)).unref();
  else send();
  if (kind === 2) send();
}

function post(url: string, notice: unknown): void {
  const body = JSON.stringify(notice);
  const timestamp = String(Math.floor(Date.now() / 1000));
  const signature = createHmac('sha256', noticeSecret).update(`${timestamp}.${body}`).digest('hex');
  const request = http.request(url, {
    method: 'POST',
    agent: false,
    headers: {
      'content-type': 'application/json',
      'x-dumper-timestamp': timestamp,
      'x-dumper-signature': `sha256=${signature}`,
    },
  });
  // a lost notice is part of the workload
  request.on('error', () => undefined).on('response', (response) => response.resume());
  request.end(body);
}

async function settle(base: string, versions: Versions): Promise<void> {
  const agent = new http.Agent({ keepAlive: true });
  try {
    for (const table of versions.tables) {
      const url = `${base}/datastore/dump/${table}?format=json`;
      const last = await eventually(
        `${table} is fresh`,
        async () => {
          const answer = await get(url, agent);
          return answer.headers['x-dump-source'] === 'blob' ? answer : null;
        },
        { seconds: 120 },
      );
      const { body } = await get(new URL(last.headers.location ?? '', base).href, agent);
      const { records } = JSON.parse(body.toString()) as { records: number[][] };
      const [seen, known] = [records[0]?.[1], versions.committed.get(table)];
      if (seen !== known) throw new Error(`${table} ended as version ${seen}, not ${known}`);
    }
  } finally {
    agent.destroy();
  }
}
