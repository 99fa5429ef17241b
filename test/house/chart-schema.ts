/** The chart's `values.schema.json`: the chart's own values by hand, the settings from the program's table. */
import { z } from 'zod';
import type { Setting } from '../../src/setting.ts';

type Schema = Record<string, unknown>;

const text: Schema = { type: 'string' };
const flag: Schema = { type: 'boolean' };
const whole: Schema = { type: 'integer', minimum: 0 };
const list = (items: Schema): Schema => ({ type: 'array', items });
const free: Schema = { type: 'object' };
const closed = (properties: Schema, required: readonly string[] = []): Schema => ({
  type: 'object',
  properties,
  additionalProperties: false,
  ...(required.length > 0 ? { required } : {}),
});
const texts: Schema = { type: 'object', additionalProperties: text };
const monitoring: Schema = { enabled: flag, labels: texts };
const peer = closed({ ports: list({ type: 'integer', minimum: 1, maximum: 65_535 }), to: list(free) }, [
  'ports',
  'to',
]);

/** `carried`: settings that are no secrets; `secrets`: names that come by reference only. */
export function chartSchema(
  carried: readonly (readonly [string, Setting])[],
  secrets: readonly string[],
): Schema {
  const reference = closed({ name: text, key: text });
  return {
    $schema: 'http://json-schema.org/draft-07/schema#',
    ...closed({
      global: free,
      ...ownValues(),
      settings: closed(Object.fromEntries(carried.map(([name, setting]) => [name, settingSchema(setting)]))),
      secretName: { ...text, minLength: 1 },
      secretRefs: closed(Object.fromEntries(secrets.map((name) => [name, reference]))),
      aws: {
        type: 'object',
        propertyNames: { pattern: '^AWS_' },
        additionalProperties: { type: ['string', 'number', 'boolean'] },
      },
      extraEnv: list({ type: 'object', required: ['name'] }),
    }),
  };
}

function ownValues(): Schema {
  return {
    image: closed({
      repository: { ...text, minLength: 1 },
      tag: text,
      digest: { ...text, pattern: '^(sha256:[0-9a-f]{64})?$' },
      pullPolicy: { enum: ['Always', 'IfNotPresent', 'Never'] },
    }),
    imagePullSecrets: list(free),
    nameOverride: text,
    fullnameOverride: text,
    mode: { enum: ['split', 'all'] },
    persistence: closed({
      existingClaim: text,
      create: flag,
      size: { ...text, minLength: 1 },
      storageClassName: text,
      accessModes: list({ enum: ['ReadWriteMany', 'ReadWriteOnce', 'ReadWriteOncePod'] }),
      mountPath: { ...text, pattern: '^/' },
    }),
    serve: closed({
      replicas: whole,
      readinessPath: { enum: ['/healthz', '/readyz?needed=1', '/readyz'] },
      resources: free,
      autoscaling: closed({
        enabled: flag,
        minReplicas: whole,
        maxReplicas: whole,
        targetCPUUtilizationPercentage: whole,
      }),
      podDisruptionBudget: closed({ enabled: flag, maxUnavailable: { type: ['integer', 'string'] } }),
    }),
    publish: closed({ replicas: whole, resources: free }),
    ...networkValues(),
    migrate: closed({ enabled: flag, onInstall: flag, resources: free }),
    serviceMonitor: closed({ ...monitoring, interval: text }),
    prometheusRule: closed({ ...monitoring, staleSeconds: whole, sweepMissingSeconds: whole }),
    dashboard: closed(monitoring),
    serviceAccount: closed({ annotations: texts }),
    podAnnotations: texts,
    podLabels: texts,
    nodeSelector: texts,
    tolerations: list(free),
    affinity: free,
    priorityClassName: text,
  };
}

function networkValues(): Schema {
  return {
    service: closed({
      type: { enum: ['ClusterIP', 'NodePort', 'LoadBalancer'] },
      port: whole,
      annotations: texts,
    }),
    ingress: closed({
      enabled: flag,
      className: text,
      annotations: texts,
      hosts: list(text),
      tls: list(free),
      blobs: flag,
    }),
    networkPolicy: closed({
      enabled: flag,
      ingressFrom: list(free),
      postgres: peer,
      ckan: peer,
      blobStore: peer,
      redis: peer,
      extraEgress: list(free),
    }),
  };
}

/** A setting as it may stand in values: the environment's text, and YAML's own numbers and truths where they fit. */
function settingSchema({ kind, meaning, default: fallback }: Setting): Schema {
  const written = z.toJSONSchema(kind, { io: 'input', unrepresentable: 'any' }) as Schema;
  const description = `${meaning}${fallback === null ? '' : ` Default: ${fallback}`}`;
  if (Array.isArray(written['enum'])) {
    const words = written['enum'] as string[];
    const numbers = words.filter((word) => /^\d+\.\d+$/.test(word)).map(Number);
    return { description, enum: [...words, ...numbers] };
  }
  const pattern = typeof written['pattern'] === 'string' ? written['pattern'] : undefined;
  if (pattern === String.raw`^\d+$`) return { description, type: ['integer', 'string'], minimum: 0, pattern };
  if (pattern?.includes('true|false')) return { description, enum: [true, false, 'true', 'false', ''] };
  return { description, type: ['string', 'null'] };
}
