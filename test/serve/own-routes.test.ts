/** The service's own routes: readiness, notices, status, pages, metrics (promises P9, P15, P21). */
import { connect } from 'node:net';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import type { WebhookReceiver } from '../../src/serve/webhook.ts';
import { publishedVariants } from '../publish/publishing.ts';
import { ask, startServing, type Serving } from './serving.ts';
import { openClient } from './slow-client.ts';

let serving: Serving;
const id = 'd1000000-0000-4000-8000-000000000001';
const notices: string[] = [];
const webhook: { change: WebhookReceiver | null } = {
  change: {
    receiveWebhook: async ({ body }) => {
      notices.push(Buffer.from(body).toString());
      if (body.length === 0) return { kind: 'refused', status: 401, reason: 'no signature' };
      if (body.length === 1) return { kind: 'refused', status: 413, reason: 'too many resources' };
      return { kind: 'accepted', names: ['x'] };
    },
  },
};
let broken = false;

beforeAll(async () => {
  serving = await startServing({
    environment: {
      DUMPER_ADMIN_TOKEN: 'the-admin-token',
    },
    parts: {
      webhook,
      rebuild: async () => undefined,
      checks: [
        { name: 'postgres', needed: true, check: async () => 'answers' },
        {
          name: 'blob_store',
          needed: false,
          check: async () => {
            if (broken)
              throw new Error('no such bucket at https://key:hidden@s3.example/?X-Amz-Signature=hidden');
            return 'writable';
          },
        },
        {
          name: 'silent',
          needed: false,
          check: () => (broken ? new Promise<string>(() => undefined) : Promise.resolve('answers')),
        },
      ],
    },
  });
  await serving.createTable(id, 2);
  await serving.publish(id);
});
afterAll(() => serving.close());

describe("the service's own routes", () => {
  it('P21: readiness by dependency, in bounded time, without secrets', async () => {
    expect((await ask(`${serving.url}/healthz`)).status).toBe(200);
    expect((await ask(`${serving.url}/readyz`)).status).toBe(200);
    broken = true;
    await expect.poll(async () => (await ask(`${serving.url}/readyz`)).status, { timeout: 10_000 }).toBe(503);
    const found = await ask(`${serving.url}/readyz`);
    const { dependencies } = JSON.parse(found.text) as { dependencies: Record<string, { ok: boolean }> };
    expect(Object.entries(dependencies).map(([name, { ok }]) => [name, ok])).toEqual([
      ['postgres', true],
      ['blob_store', false],
      ['silent', false],
    ]);
    expect(found.text).not.toContain('hidden');
    expect((await ask(`${serving.url}/readyz?needed`)).status).toBe(200);
    broken = false;
    await expect.poll(async () => (await ask(`${serving.url}/readyz`)).status, { timeout: 10_000 }).toBe(200);
  });

  it('P15: a notice has one limit, said in one message and counted in one place; what is verified is the raw body', async () => {
    const post = (body: string | Buffer) => ask(`${serving.url}/notices`, { method: 'POST', body } as never);
    const counted = async (outcome: string): Promise<number> => {
      const { values } = await serving.world.metrics.notices.get();
      return values.find(({ labels }) => labels.outcome === outcome)?.value ?? 0;
    };
    expect((await post('{"resource_id": "x"}')).status).toBe(202);
    expect(notices.at(-1)).toBe('{"resource_id": "x"}');
    expect((await post('')).status).toBe(401);
    const before = notices.length;
    const tooLarge = await counted('too_large');
    const large = await post(Buffer.alloc(256 * 1024 + 1, 'x'));
    expect([large.status, large.headers.get('content-type')]).toEqual([413, 'application/problem+json']);
    expect(JSON.parse(large.text)).toMatchObject({ detail: 'A notice has at most 262144 bytes' });
    expect(notices.length).toBe(before);
    expect((await post(Buffer.alloc(256 * 1024, 'x'))).status).toBe(202);
    expect((await post('x')).status, 'too many resources').toBe(413);
    expect(await counted('too_large')).toBe(tooLarge + 2);
  });

  it('P15: a notice that comes while the queue is away is to be sent again', async () => {
    const { change } = webhook;
    webhook.change = null;
    const away = await ask(`${serving.url}/notices`, { method: 'POST', body: '{}' } as never);
    webhook.change = change;
    expect([away.status, away.headers.get('retry-after')]).toEqual([503, expect.stringMatching(/^\d+$/)]);
  });

  it('P15: a body that never ends is cut at the limit', async () => {
    const socket = connect({ port: serving.port, host: '127.0.0.1' });
    socket.on('error', () => undefined);
    socket.write('POST /notices HTTP/1.1\r\nhost: x\r\ntransfer-encoding: chunked\r\n\r\n');
    const piece = `10000\r\n${'x'.repeat(65_536)}\r\n`;
    let answer = '';
    socket.on('data', (chunk) => {
      answer += chunk.toString();
    });
    const closed = new Promise((resolve) => socket.once('close', resolve));
    const pour = (): void => {
      if (!socket.destroyed && answer === '') socket.write(piece, () => setImmediate(pour));
    };
    pour();
    await closed;
    expect(answer.startsWith('HTTP/1.1 413')).toBe(true);
  });

  it("status tells a table's dump, and rebuild needs the admin", async () => {
    const status = JSON.parse((await ask(`${serving.url}/status/${id}`)).text) as Record<string, unknown>;
    expect(status).toMatchObject({ id, state: 'fresh', tier: 'exact', rows: 2 });
    expect(Object.keys(status['blobs'] as object)).toEqual(publishedVariants);
    const url = `${serving.url}/status/${id}/rebuild`;
    expect((await ask(url, { method: 'POST' })).status).toBe(401);
    expect((await ask(url, { method: 'POST', headers: { authorization: 'Bearer wrong' } })).status).toBe(401);
    const admin = await ask(url, { method: 'POST', headers: { authorization: 'Bearer the-admin-token' } });
    expect([admin.status, JSON.parse(admin.text)]).toEqual([202, { queued: id }]);
    const unknown = await ask(`${serving.url}/status/nope`);
    expect([unknown.status, unknown.headers.get('content-type')]).toEqual([404, 'application/problem+json']);
  });

  it('pages come without scripts, with a policy that allows none', async () => {
    for (const path of ['/', `/tables/${id}`]) {
      const page = await ask(`${serving.url}${path}`);
      expect([path, page.status, page.text.includes('<script')]).toEqual([path, 200, false]);
      expect(page.headers.get('content-security-policy')).toContain("default-src 'none'");
    }
    expect((await ask(`${serving.url}/page.css`)).headers.get('content-type')).toBe(
      'text/css; charset=utf-8',
    );
  });

  it('a page for a client of HTTP/1.0 that names no host', async () => {
    const socket = connect({ port: serving.port, host: '127.0.0.1' });
    socket.write('GET /?page=1 HTTP/1.0\r\n\r\n');
    const answer = Buffer.concat((await socket.toArray()) as Buffer[]).toString();
    expect(answer.split('\r\n')[0]).toBe('HTTP/1.1 200 OK');
  });

  it('metrics name no table', async () => {
    await ask(`${serving.url}/datastore/dump/${id}`);
    const { text } = await ask(`${serving.url}/metrics`);
    expect(text).toContain('datastore_dumper_answers_total{source="blob",status="302",format="csv"}');
    expect(text).not.toContain(id);
  });

  it('a client that leaves before the answer is no error', async () => {
    const client = openClient({ port: serving.port, path: `/datastore/dump/${id}?latest=true` });
    client.socket.destroy();
    await client.ended;
    expect((await ask(`${serving.url}/healthz`)).status).toBe(200);
    expect(serving.log.filter((line) => line.includes('"level":"error"'))).toEqual([]);
  });
});
