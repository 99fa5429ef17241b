/**
 * Traces, of a running service before a real collector's endpoint (OTLP over HTTP, as JSON): what is told, whose child
 * it is, what is never told (P18), what a collector that is away costs, and that nothing is loaded unasked.
 */
import { createServer, type IncomingHttpHeaders, type Server } from 'node:http';
import type { AddressInfo } from 'node:net';
import { afterEach, beforeEach, describe, expect, test, vi } from 'vitest';
import { startCkan, type FakeCkan } from '../world/fake-ckan.ts';
import { eventually } from '../world/eventually.ts';
import { serviceFixture, type ServiceFixture, startProgram } from '../world/service.ts';

// processes are started, which takes long on a loaded machine
vi.setConfig({ testTimeout: 120_000 });

interface Span {
  readonly traceId: string;
  readonly spanId: string;
  readonly parentSpanId?: string;
  readonly name: string;
  readonly kind: number;
  readonly attributes: readonly { readonly key: string; readonly value: Record<string, unknown> }[];
  readonly status: { readonly code?: number; readonly message?: string };
}

interface Told {
  readonly resourceSpans: readonly {
    readonly resource: Pick<Span, 'attributes'>;
    readonly scopeSpans: readonly { readonly spans: readonly Span[] }[];
  }[];
}

const received: { readonly path: string; readonly headers: IncomingHttpHeaders; readonly text: string }[] =
  [];
let collector: Server;
let endpoint: string;
let answers: boolean;
let world: ServiceFixture;

beforeEach(async () => {
  received.length = 0;
  answers = true;
  collector = createServer((request, response) => {
    let text = '';
    request.on('data', (chunk: Buffer) => (text += chunk.toString()));
    request.on('end', () => {
      received.push({ path: request.url ?? '', headers: request.headers, text });
      if (answers) response.writeHead(200, { 'content-type': 'application/json' }).end('{}');
    });
  });
  await new Promise<void>((resolve) => {
    collector.listen(0, '127.0.0.1', resolve);
  });
  endpoint = `http://127.0.0.1:${(collector.address() as AddressInfo).port}`;
  world = await serviceFixture();
  await world.createTable('traced-table', 30);
});

afterEach(async () => {
  await world.end();
  collector.closeAllConnections();
  await new Promise((resolve) => collector.close(resolve));
});

const told = (): Told[] => received.map(({ text }) => JSON.parse(text) as Told);
const spans = (): Span[] =>
  told().flatMap(({ resourceSpans }) =>
    resourceSpans.flatMap(({ scopeSpans }) => scopeSpans.flatMap((scope) => scope.spans)),
  );
const attributesOf = ({ attributes }: Pick<Span, 'attributes'>): Record<string, unknown> =>
  Object.fromEntries(attributes.map(({ key, value }) => [key, Object.values(value)[0]]));
const named = (name: string): Span[] => spans().filter((span) => span.name === name);
const childrenOf = (parent: Span | undefined): string[] =>
  spans()
    .filter(({ parentSpanId }) => parentSpanId !== undefined && parentSpanId === parent?.spanId)
    .map(({ name }) => name);

const request = 'GET /datastore/dump/{id}';
const trace = '0af7651916cd43dd8448eb211c80319c';
const parent = 'b7ad6b7169203331';

async function startAsking(): Promise<{ base: string; ckan: FakeCkan; stop: () => Promise<void> }> {
  const ckan = await startCkan({ permissions: () => 200 });
  world.atEnd(() => ckan.stop());
  const { base, service } = await world.start({
    OTEL_EXPORTER_OTLP_ENDPOINT: endpoint,
    CKAN_SITE_URL: ckan.url,
    DUMPER_AUTHORIZE: 'ckan',
    DUMPER_DECISION_CACHE_SECONDS: '1',
  });
  await eventually('published', () => world.manifest('traced-table'), { seconds: 25 });
  return { base, ckan, stop: service.stop };
}

describe('with a collector named', () => {
  test('a request is a child of the caller, with its question to CKAN, look-up and live copy; P18: no id, query or token', async () => {
    const { base, ckan, stop } = await startAsking();
    const headers = { traceparent: `00-${trace}-${parent}-01`, authorization: 'token-of-a-caller' };
    const answer = await fetch(`${base}/datastore/dump/traced-table?limit=3&format=json`, { headers });
    const { length } = await answer.text();
    await stop();
    const [asked, ...others] = spans().filter(({ traceId, kind }) => traceId === trace && kind === 2);
    expect(others).toEqual([]);
    expect(asked).toMatchObject({ name: request, parentSpanId: parent });
    expect(attributesOf(asked!)).toMatchObject({
      'http.request.method': 'GET',
      'http.route': '/datastore/dump/{id}',
      'http.response.status_code': 200,
      'dump.format': 'json',
      'dump.source': 'live',
      'dump.bytes': length,
      'dump.request_id': answer.headers.get('x-request-id'),
    });
    expect(childrenOf(asked)).toEqual(expect.arrayContaining(['resolve', 'live copy']));
    expect(received[0]).toMatchObject({
      path: '/v1/traces',
      headers: { 'content-type': 'application/json' },
    });
    expect(attributesOf(told()[0]!.resourceSpans[0]!.resource)).toMatchObject({
      'service.name': 'datastore-dumper',
    });
    const everything = received.map(({ text }) => text).join();
    for (const secret of ['traced-table', 'limit', 'token-of-a-caller'])
      expect(everything).not.toContain(secret);
    expect(ckan.asked.filter((one) => one.headers['traceparent'] !== undefined)).toEqual([]);
  });

  test('a publication is told in its steps, one after the other', async () => {
    const { stop } = await startAsking();
    await stop();
    const published = named('publish').find((span) => attributesOf(span)['dump.outcome'] === 'published');
    expect(attributesOf(published!)).toMatchObject({
      'dump.rows': 30,
      'dump.tier': 'exact',
      'dump.blobs': 6,
    });
    const steps = [
      'fence',
      'snapshot',
      'compare revisions',
      'scan and upload',
      'wait for the switch',
      'switch',
    ];
    const children = childrenOf(published).filter((name) => !name.startsWith('CKAN '));
    expect(children).toEqual([...steps, 'prune']);
    expect(published?.parentSpanId).toBeUndefined();
  });

  test('what goes wrong is marked where it went wrong; what the caller does not sample is not told', async () => {
    const { base, ckan, stop } = await startAsking();
    ckan.setFault('error');
    const headers = { traceparent: `00-${trace}-${parent}-01` };
    await eventually(
      'CKAN is asked again',
      async () => (await fetch(`${base}/datastore/dump/traced-table`, { headers })).status === 503,
      { seconds: 25 },
    );
    const unsampled = `00-${'c'.repeat(32)}-${parent}-00`;
    await fetch(`${base}/datastore/dump/traced-table`, { headers: { traceparent: unsampled } });
    await fetch(`${base}/datastore/dump/traced-table`, {
      headers: { traceparent: `00-${'0'.repeat(32)}-x` },
    });
    await stop();
    const failed = named(request).find((span) => attributesOf(span)['http.response.status_code'] === 503);
    expect(failed).toMatchObject({ traceId: trace, status: { code: 2 } });
    const resolved = named('resolve').find(({ parentSpanId }) => parentSpanId === failed?.spanId);
    const question = spans().find(
      ({ parentSpanId, kind }) => parentSpanId === resolved?.spanId && kind === 3,
    );
    expect(question).toMatchObject({
      status: { code: 2, message: expect.stringContaining('CKAN') as string },
    });
    expect(spans().filter(({ traceId }) => traceId === 'c'.repeat(32))).toEqual([]);
    expect(named(request).filter(({ parentSpanId }) => parentSpanId === undefined)).toHaveLength(1);
  });

  test('a collector that never answers holds up neither answers nor the end', async () => {
    answers = false;
    const { base, service } = await world.start({
      OTEL_EXPORTER_OTLP_TRACES_ENDPOINT: `${endpoint}/own/path`,
    });
    expect((await fetch(`${base}/datastore/dump/traced-table?limit=1`)).status).toBe(200);
    await service.stop();
    expect(received[0]?.path).toBe('/own/path');
  });
});

/** Says which packages of OpenTelemetry the process resolves, but for the bare interface that prom-client loads. */
const watching = `data:text/javascript,${encodeURIComponent(`
  import { registerHooks } from 'node:module';
  registerHooks({ resolve: (name, context, next) => {
    if (/^@opentelemetry.(?!api$)/.test(name)) console.error('resolved ' + name);
    return next(name, context);
  } });`)}`;

test('nothing of the SDK is loaded unless a collector is named; SIGTERM sends what is left', async () => {
  const ask = async (settings: Record<string, string>): Promise<string> => {
    const program = await startProgram({
      ...world.settings,
      NODE_OPTIONS: `--import=${watching}`,
      ...settings,
    });
    await (await fetch(`${program.base}/datastore/dump/traced-table?limit=1`)).text();
    program.child.kill('SIGTERM');
    expect(await program.exited).toBe(0);
    return program.text();
  };
  expect(await ask({})).not.toContain('resolved @opentelemetry/');
  expect(received).toEqual([]);
  expect(await ask({ OTEL_EXPORTER_OTLP_ENDPOINT: endpoint, OTEL_SERVICE_NAME: 'dumps' })).toContain(
    'resolved @opentelemetry/sdk-trace',
  );
  expect(named(request)).toHaveLength(1);
  expect(attributesOf(told()[0]!.resourceSpans[0]!.resource)).toMatchObject({ 'service.name': 'dumps' });
});
