/**
 * Promise P9 against real CKAN servers: what they answered to each kind of caller about each table (`permissions.jsonl`)
 * is what this service answers, by every method and delivery, straight and through an nginx that caches all it can.
 */
import path from 'node:path';
import { describe, expect, it, vi } from 'vitest';
import { allTables } from '../../src/postgres/revision.ts';
import { ckanOfCorpus, type Rights } from '../world/fake-ckan.ts';
import { recordCount } from '../world/counts.ts';
import { startNginx } from '../world/nginx.ts';
import { ask, startServing, type Serving } from './serving.ts';

// a corpus is loaded first
vi.setConfig({ testTimeout: 120_000, hookTimeout: 120_000 });

const callers = ['anonymous', 'outsider', 'member', 'editor', 'sysadmin', 'badtoken'];
const ways = [
  { method: 'GET', query: '', headers: {} },
  { method: 'HEAD', query: '', headers: {} },
  { method: 'GET', query: '?redirect=false', headers: { range: 'bytes=0-9' } },
  { method: 'GET', query: '', headers: { 'if-none-match': '*' } },
  { method: 'GET', query: '?latest=true&limit=1', headers: {} },
];

/** CKAN's dump asks what `datastore_search` asks; where that breaks on a table's columns, the check behind it. */
function mayRead(rights: Rights, who: string, id: string): boolean {
  const status = rights(who, 'datastore_search', id);
  return status === 200 || (status >= 409 && rights(who, 'resource_show', id) === 200);
}

/** Ask everything as everybody; answers how many questions that were. */
async function askAll(
  base: string,
  serving: Serving,
  ids: readonly string[],
  rights: Rights,
): Promise<number> {
  const wrong: string[] = [];
  let asked = 0;
  for (const id of ids) {
    for (const who of callers) {
      const token = who === 'badtoken' ? 'no-such-token' : serving.ckan.token(who);
      const credentials = token === undefined ? {} : { authorization: token };
      const expected = mayRead(rights, who, id);
      for (const { method, query, headers } of ways) {
        const url = `${base}/datastore/dump/${encodeURIComponent(id)}${query}`;
        const answer = await ask(url, { method, headers: { ...headers, ...credentials } });
        asked += 1;
        const given = answer.status < 400;
        const hidden = answer.status === 404 && !/rows|sha256/.test(answer.text);
        if (expected ? !given : !hidden) wrong.push(`${method} ${id}${query} as ${who}: ${answer.status}`);
        const cached = answer.headers.get('cache-control') ?? '';
        const isPublic = mayRead(rights, 'anonymous', id);
        if (!isPublic && !/no-store/.test(cached)) wrong.push(`${method} ${id}${query} as ${who}: ${cached}`);
      }
      const status = await ask(`${base}/status/${encodeURIComponent(id)}`, { headers: credentials });
      if ((status.status === 200) !== expected) wrong.push(`status of ${id} as ${who}: ${status.status}`);
      asked += 1;
    }
  }
  expect(wrong).toEqual([]);
  return asked;
}

describe.each(['2.11.6', '2.12.0'] as const)('P9: as CKAN %s answered', (corpus) => {
  it('every table, caller, method and delivery; nginx caches nothing of another', async () => {
    const folder = path.resolve(import.meta.dirname, '../fixtures/conformance', corpus);
    const { permissions: rights } = await ckanOfCorpus(folder);
    const version = corpus === '2.11.6' ? '2.11' : '2.12';
    const serving = await startServing({
      corpus,
      version,
      environment: { DUMPER_DECISION_CACHE_SECONDS: '60', DUMPER_LIVE_SLOTS: '4' },
    });
    const nginx = await startNginx(
      (port, directory) => `
      proxy_cache_path ${directory}/cache keys_zone=dumps:1m;
      server {
        listen 127.0.0.1:${port};
        location / { proxy_pass http://127.0.0.1:${serving.port}; proxy_http_version 1.1; proxy_set_header Connection "";
          proxy_cache dumps; proxy_cache_valid any 10m; proxy_cache_revalidate on; }
      }`,
    );
    try {
      serving.ckan.setPermissions(rights);
      const tables = [...(await allTables(serving.world.readPool)).keys()].filter(
        (id) => !id.startsWith('_'),
      );
      for (const id of tables) await serving.publish(id, { public: mayRead(rights, 'anonymous', id) });
      const ids = [...tables, 'f1100000-0000-4000-8000-00000000dead'];
      const asked = await askAll(serving.url, serving, ids, rights);
      recordCount('P9', `answers against recorded rights of CKAN ${corpus}`, asked);
      if (nginx === null) return;
      const cached = await askAll(nginx.url, serving, ids, rights);
      recordCount('P9', `the same through an nginx that caches, CKAN ${corpus}`, cached);
    } finally {
      await nginx?.close();
      await serving.close();
    }
  });
});
