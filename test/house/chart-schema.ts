/** The chart's `values.schema.json`: the chart's own values by hand, the settings from the program's table. */
import { z } from 'zod';
import type { Setting } from '../../src/config/setting.ts';

type Schema = Record<string, unknown>;

const text: Schema = { type: 'string' };
const flag: Schema = { type: 'boolean' };
const whole: Schema = { type: 'integer', minimum: 0 };
const positive: Schema = { type: 'integer', minimum: 1 };
const port: Schema = { type: 'integer', minimum: 1, maximum: 65_535 };
/** DNS labels and names of RFC 1123, which the API server holds names of objects and hosts to; empty: none. */
const objectName: Schema = { type: 'string', pattern: '^([a-z0-9]([-a-z0-9.]*[a-z0-9])?)?$' };
const host: Schema = {
  type: 'string',
  pattern: String.raw`^(\*\.)?[a-z0-9]([-a-z0-9]*[a-z0-9])?(\.[a-z0-9]([-a-z0-9]*[a-z0-9])?)*$`,
};
const quantity: Schema = {
  type: ['string', 'number'],
  pattern: String.raw`^[0-9]+(\.[0-9]+)?([numkMGTPE]|[KMGTPE]i|[eE][0-9]+)?$`,
};
const list = (items: Schema): Schema => ({ type: 'array', items });
const free: Schema = { type: 'object' };
const closed = (properties: Schema, required: readonly string[] = []): Schema => ({
  type: 'object',
  properties,
  additionalProperties: false,
  ...(required.length > 0 ? { required } : {}),
});
const texts: Schema = { type: 'object', additionalProperties: text };
/** Labels of which none is the chart's own: selectors go by those. */
const labels: Schema = {
  type: 'object',
  propertyNames: {
    not: {
      pattern: String.raw`^(app\.kubernetes\.io/(name|instance|component|version|managed-by)|helm\.sh/chart)$`,
    },
  },
  additionalProperties: { type: 'string', pattern: '^([A-Za-z0-9]([-A-Za-z0-9_.]{0,61}[A-Za-z0-9])?)?$' },
};
const resources = closed({ requests: amounts(), limits: amounts(), claims: list(free) });
const userId: Schema = { type: ['integer', 'null'], minimum: 1 };
const monitoring: Schema = { enabled: flag, labels };
const peer = closed({ ports: list(port), to: list(free) });

/** Groups of values that cannot be taken away as a whole with null. */
const groups = [
  'image',
  'settings',
  'persistence',
  'serve',
  'publish',
  'service',
  'ingress',
  'networkPolicy',
  'migrate',
  'serviceMonitor',
  'prometheusRule',
  'dashboard',
  'serviceAccount',
];

/** `carried`: settings that are no secrets; `secrets`: names that come by reference only. */
export function chartSchema(
  carried: readonly (readonly [string, Setting])[],
  secrets: readonly string[],
): Schema {
  const reference = closed({ name: objectName, key: text });
  return {
    $schema: 'http://json-schema.org/draft-07/schema#',
    ...closed(
      {
        global: free,
        ...ownValues(),
        settings: closed(
          Object.fromEntries(carried.map(([name, setting]) => [name, settingSchema(name, setting)])),
        ),
        secretName: { ...objectName, minLength: 1 },
        secretRefs: closed(Object.fromEntries(secrets.map((name) => [name, reference]))),
        aws: {
          type: 'object',
          propertyNames: { pattern: '^AWS_[A-Z0-9_]+$', not: { enum: secrets } },
          additionalProperties: { type: ['string', 'number', 'boolean'] },
        },
        extraEnv: list({
          ...closed({ name: { ...text, minLength: 1 }, value: text, valueFrom: free }, ['name']),
        }),
        extraVolumes: list({ type: 'object', required: ['name'] }),
        extraVolumeMounts: list({ type: 'object', required: ['name', 'mountPath'] }),
      },
      groups,
    ),
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
    imagePullSecrets: list(closed({ name: objectName }, ['name'])),
    nameOverride: objectName,
    fullnameOverride: objectName,
    mode: { enum: ['split', 'all'] },
    persistence: closed({
      existingClaim: objectName,
      create: flag,
      size: quantity,
      storageClassName: objectName,
      // not ReadWriteOncePod: a new pod starts before the old one ends
      accessModes: { ...list({ enum: ['ReadWriteMany', 'ReadWriteOnce'] }), minItems: 1 },
      mountPath: { ...text, pattern: '^/' },
    }),
    serve: closed(
      {
        replicas: whole,
        readinessPath: { enum: ['/healthz', '/readyz?needed=1', '/readyz'] },
        resources,
        autoscaling: closed({
          enabled: flag,
          minReplicas: positive,
          maxReplicas: positive,
          targetCPUUtilizationPercentage: positive,
        }),
        podDisruptionBudget: closed({
          enabled: flag,
          maxUnavailable: { type: ['integer', 'string'], minimum: 0, pattern: '^[0-9]+%$' },
        }),
      },
      ['autoscaling', 'podDisruptionBudget'],
    ),
    publish: closed({ replicas: whole, resources }),
    ...networkValues(),
    ...monitoringValues(),
    ...podValues(),
  };
}

function amounts(): Schema {
  return { type: ['object', 'null'], additionalProperties: { anyOf: [quantity, { type: 'null' }] } };
}

function monitoringValues(): Schema {
  return {
    serviceMonitor: closed({ ...monitoring, interval: { ...text, pattern: '^([0-9]+(ms|[smhd]))+$' } }),
    prometheusRule: closed({
      ...monitoring,
      matchers: text,
      staleSeconds: whole,
      sweepMissingSeconds: whole,
    }),
    dashboard: closed(monitoring),
  };
}

function podValues(): Schema {
  return {
    migrate: closed({
      enabled: flag,
      onInstall: flag,
      deadlineSeconds: positive,
      podAnnotations: texts,
      resources,
    }),
    serviceAccount: closed({ create: flag, name: objectName, annotations: texts }),
    podSecurityContext: closed({ runAsUser: userId, runAsGroup: userId, fsGroup: userId }),
    podAnnotations: texts,
    podLabels: labels,
    nodeSelector: texts,
    tolerations: list(free),
    affinity: free,
    priorityClassName: objectName,
  };
}

function networkValues(): Schema {
  return {
    service: closed({
      type: { enum: ['ClusterIP', 'NodePort', 'LoadBalancer'] },
      port,
      annotations: texts,
    }),
    ingress: closed({
      enabled: flag,
      className: objectName,
      annotations: texts,
      hosts: list(host),
      tls: list(closed({ hosts: list(host), secretName: objectName })),
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
function settingSchema(name: string, { kind, meaning, default: fallback }: Setting): Schema {
  const written = z.toJSONSchema(kind, { io: 'input', unrepresentable: 'any' }) as Schema;
  const description = `${meaning}${fallback === null ? '' : ` Default: ${fallback}`}`;
  if (Array.isArray(written['enum'])) {
    const words = written['enum'] as string[];
    const numbers = words.filter((word) => /^\d+\.\d+$/.test(word)).map(Number);
    return { description, enum: [...words, ...numbers] };
  }
  const pattern = typeof written['pattern'] === 'string' ? written['pattern'] : undefined;
  if (pattern === String.raw`^\d+$`) {
    // any free port, where a process may choose it, is none that a Service leads to
    const minimum = name === 'DUMPER_PORT' ? 1 : written['minimum'];
    return { description, type: ['integer', 'string'], minimum, maximum: written['maximum'], pattern };
  }
  if (pattern?.includes('true|false')) return { description, enum: [true, false, 'true', 'false', ''] };
  return { description, type: ['string', 'null'], ...(pattern ? { pattern: `^$|${pattern}` } : {}) };
}
