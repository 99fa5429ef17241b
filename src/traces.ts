/**
 * Traces for whoever runs a collector: nothing of OpenTelemetry's SDK is loaded unless the environment names one.
 *
 * Attributes hold no ids, names or queries of tables, and the reasons of faults are redacted as in the log (P18: secrets
 * are never printed). Nothing is registered for the whole process: the asynchronous context knows the current span.
 */
import { AsyncLocalStorage } from 'node:async_hooks';
import type { Environment } from './config/config.ts';
import type * as OpenTelemetry from '@opentelemetry/api';
import type { Context, Span } from '@opentelemetry/api';
import type * as TraceSdk from '@opentelemetry/sdk-trace';
import type { Sampler } from '@opentelemetry/sdk-trace';
import { withTimeout } from './async/timeout.ts';
import { DumperError, isDumperError, errorMessage } from './errors.ts';
import { redact, type Log } from './log.ts';

type Attributes = Readonly<Record<string, string | number | boolean | undefined>>;

/** Headers of W3C Trace Context, as they came. */
interface TraceParent {
  readonly traceparent: string;
  readonly tracestate: string;
}

interface SpanOptions {
  /** `client`: a question to another service, traced only inside another span, so that routine polling makes no traces. */
  readonly kind?: 'server' | 'client';
  /** Ignored where it is not valid. */
  readonly parent?: TraceParent;
}

export interface Traces {
  /** Run `work` inside a span that ends with it; a rejection marks the span as failed and is passed on. */
  span<T>(name: string, attributes: Attributes, work: () => Promise<T>, options?: SpanOptions): Promise<T>;
  /** The next step of the current span: a child that ends when the next step begins, or with the span. */
  step(name: string): void;
  /** Add attributes to the current span; a `fault` marks it as failed. */
  note(attributes: Attributes, fault?: string): void;
  /** Send what is left, for at most `flushSeconds`. Never rejects. */
  close(): Promise<void>;
}

export const noTraces: Traces = {
  span: (_name, _attributes, work) => work(),
  step: () => undefined,
  note: () => undefined,
  close: async () => undefined,
};

/** How long the end waits for a collector, and a batch for its answer. */
const flushSeconds = 3;

/**
 * Traces to the collector of `OTEL_EXPORTER_OTLP_TRACES_ENDPOINT` or `OTEL_EXPORTER_OTLP_ENDPOINT` (OpenTelemetry's
 * specification, "OTLP Exporter Configuration"), or none. Never rejects: the service runs without traces too.
 */
export async function openTraces(environment: Environment, log: Log): Promise<Traces> {
  const url = endpointOf(environment);
  if (url === null || environment['OTEL_SDK_DISABLED'] === 'true') return noTraces;
  try {
    return await connect(url, environment, log);
  } catch (error) {
    log.warn({ reason: redact(errorMessage(error)) }, 'traces are off: OpenTelemetry cannot be loaded');
    return noTraces;
  }
}

function endpointOf(environment: Environment): string | null {
  const own = environment['OTEL_EXPORTER_OTLP_TRACES_ENDPOINT'];
  if (own !== undefined && own !== '') return own;
  const base = environment['OTEL_EXPORTER_OTLP_ENDPOINT'];
  return base === undefined || base === '' ? null : `${base.replace(/\/$/, '')}/v1/traces`;
}

type Api = typeof OpenTelemetry;
type Sdk = typeof TraceSdk;

async function connect(url: string, environment: Environment, log: Log): Promise<Traces> {
  const [api, sdk, { OTLPTraceExporter }, resources] = await Promise.all([
    import('@opentelemetry/api'),
    import('@opentelemetry/sdk-trace'),
    import('@opentelemetry/exporter-trace-otlp-http'),
    import('@opentelemetry/resources'),
  ]);
  const { diag, DiagLogLevel } = api;
  diag.setLogger(exporterErrors(log), { logLevel: DiagLogLevel.ERROR, suppressOverrideMessage: true });
  const named = { 'service.name': 'datastore-dumper' };
  const fromEnvironment = resources.detectResources({
    detectors: [resources.resourceAttributesEnvDetector, resources.serviceNameEnvDetector],
  });
  const exporter = new OTLPTraceExporter({ url, timeoutMillis: flushSeconds * 1000 });
  const provider = new sdk.TracerProvider({
    resource: resources.resourceFromAttributes(named).merge(fromEnvironment),
    sampler: samplerOf(sdk, environment),
    spanProcessors: [new sdk.BatchSpanProcessor({ exporter })],
  });
  log.info({ to: new URL(url).origin }, 'traces are sent');
  return tracesOf(api, provider, async () => {
    const milliseconds = flushSeconds * 1000;
    const onTimeout = (): Error => new DumperError('ABORTED', 'the collector does not answer');
    await withTimeout(provider.shutdown(), { milliseconds, onTimeout }).catch(() => undefined);
  });
}

/** `OTEL_TRACES_SAMPLER` and its `_ARG`, as the specification names them; everything is sampled by default. */
function samplerOf(sdk: Sdk, environment: Environment): Sampler {
  const name = environment['OTEL_TRACES_SAMPLER'] ?? 'parentbased_always_on';
  const ratio = Number(environment['OTEL_TRACES_SAMPLER_ARG'] ?? 1);
  const root = name.endsWith('always_off')
    ? new sdk.AlwaysOffSampler()
    : name.endsWith('traceidratio')
      ? new sdk.TraceIdRatioBasedSampler(ratio)
      : new sdk.AlwaysOnSampler();
  return name.startsWith('parentbased_') ? new sdk.ParentBasedSampler({ root }) : root;
}

interface CurrentSpan {
  readonly context: Context;
  readonly span: Span;
  step: Span | null;
}

function tracesOf(
  api: Api,
  provider: InstanceType<Sdk['TracerProvider']>,
  close: () => Promise<void>,
): Traces {
  const tracer = provider.getTracer('datastore-dumper');
  const current = new AsyncLocalStorage<CurrentSpan>();
  const kinds = { server: api.SpanKind.SERVER, client: api.SpanKind.CLIENT } as const;
  const fail = (span: Span, reason: string): void =>
    void span.setStatus({ code: api.SpanStatusCode.ERROR, message: withoutIds(redact(reason)) });

  return {
    span: async (name, attributes, work, { kind, parent } = {}) => {
      const outer = current.getStore()?.context;
      if (kind === 'client' && outer === undefined) return work();
      const from = parent === undefined ? null : remote(api, parent);
      const around = from ?? outer ?? api.ROOT_CONTEXT;
      const spanKind = kind === undefined ? api.SpanKind.INTERNAL : kinds[kind];
      const span = tracer.startSpan(
        name,
        { kind: spanKind, attributes: withoutUndefined(attributes) },
        around,
      );
      const inside: CurrentSpan = { context: api.trace.setSpan(around, span), span, step: null };
      try {
        return await current.run(inside, work);
      } catch (error) {
        for (const failed of [span, inside.step]) if (failed !== null) fail(failed, errorMessage(error));
        span.setAttribute('error.type', kindOf(error));
        throw error;
      } finally {
        inside.step?.end();
        span.end();
      }
    },
    step: (name) => {
      const inside = current.getStore();
      if (inside === undefined) return;
      inside.step?.end();
      inside.step = tracer.startSpan(name, {}, inside.context);
    },
    note: (attributes, fault) => {
      const span = current.getStore()?.span;
      span?.setAttributes(withoutUndefined(attributes));
      if (span !== undefined && fault !== undefined) fail(span, fault);
    },
    close,
  };
}

/** W3C Trace Context, section 3.2: version, trace, parent, flags; later versions may add more behind them. */
const traceparentPattern =
  /^(?!ff)([0-9a-f]{2})-([0-9a-f]{32})-([0-9a-f]{16})-([0-9a-f]{2})(?:$|(?<!^00.{53})-)/;

function remote(api: Api, { traceparent, tracestate }: TraceParent): Context | null {
  const [, , traceId = '', spanId = '', flags = ''] = traceparentPattern.exec(traceparent) ?? [];
  const traceFlags = Number.parseInt(flags, 16) & api.TraceFlags.SAMPLED;
  const parent = { traceId, spanId, traceFlags, isRemote: true };
  if (!api.isSpanContextValid(parent)) return null;
  const traceState = api.createTraceState(tracestate);
  return api.trace.setSpanContext(api.ROOT_CONTEXT, { ...parent, traceState });
}

function withoutUndefined(attributes: Attributes): Record<string, string | number | boolean> {
  const pairs = Object.entries(attributes).flatMap(([name, value]) =>
    value === undefined ? [] : [[name, value] as const],
  );
  return Object.fromEntries(pairs);
}

function kindOf(error: unknown): string {
  if (isDumperError(error)) return error.code;
  return error instanceof Error ? error.name : typeof error;
}

const uuid = /[0-9a-f]{8}-(?:[0-9a-f]{4}-){3}[0-9a-f]{12}/gi;

/** Traces leave for other systems than logs do: the log alone says which table it was. */
function withoutIds(reason: string): string {
  return reason.replaceAll(uuid, '[id]');
}

/** One line a minute at most, however many batches a collector refuses. */
function exporterErrors(log: Log): Parameters<Api['diag']['setLogger']>[0] {
  let silentUntil = 0;
  const error = (message: string): void => {
    if (performance.now() < silentUntil) return;
    silentUntil = performance.now() + 60_000;
    log.warn({ reason: redact(message).slice(0, 300) }, 'traces cannot be sent');
  };
  const silent = (): void => undefined;
  return { error, warn: silent, info: silent, debug: silent, verbose: silent };
}
