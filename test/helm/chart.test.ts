/** The chart: renders for many sets of values, carries every setting, holds secrets by reference, runs as nobody. */
import { spawnSync } from 'node:child_process';
import { describe, expect, it } from 'vitest';
import { parse } from 'yaml';
import type { Setting } from '../../src/config/setting.ts';
import { settings } from '../../src/config/settings.ts';
import { textOf } from '../house/tree.ts';
import { chart, helm, named, ofKind, podsOf, refused, rendered, type Resource } from './rendered.ts';

interface Rules {
  readonly groups: readonly [
    { readonly rules: readonly { readonly expr: string; readonly labels: Record<string, string> }[] },
  ];
}

const everything = [
  'serviceMonitor.enabled=true',
  'prometheusRule.enabled=true',
  'dashboard.enabled=true',
  'ingress.enabled=true',
  'ingress.hosts[0]=data.example.org',
];

describe.skipIf(helm === null)('the chart (skipped where neither helm nor go is at hand)', () => {
  it('passes helm lint --strict', () => {
    const linted = spawnSync(helm ?? '', ['lint', '--strict', chart], { encoding: 'utf8' });
    expect(linted.stdout + linted.stderr).toContain('0 chart(s) failed');
    expect(linted.status).toBe(0);
  });

  it('has one deployment a role, or one for all', () => {
    expect(named(rendered(), 'Deployment')).toEqual([
      'release-datastore-dumper-publish',
      'release-datastore-dumper-serve',
    ]);
    const single = rendered('mode=all', 'fullnameOverride=dumper');
    expect(named(single, 'Deployment')).toEqual(['dumper-all']);
    expect(named(single, 'HorizontalPodAutoscaler')).toEqual(['dumper-all']);
    expect(named(single, 'Service')).toEqual(['dumper']);
  });

  it.each([
    [[]],
    [['mode=all', ...everything]],
    [everything],
    [
      [
        'serve.autoscaling.enabled=false',
        'serve.replicas=5',
        'serve.podDisruptionBudget.enabled=false',
        'networkPolicy.enabled=false',
      ],
    ],
    [
      [
        'persistence.existingClaim=blobs',
        'settings.DUMPER_BLOB_STORE=file:///blobs',
        'ingress.blobs=true',
        ...everything,
      ],
    ],
    [
      [
        'migrate.onInstall=true',
        'image.tag=v1',
        'imagePullSecrets[0].name=pull',
        'nodeSelector.disk=ssd',
        'priorityClassName=high',
      ],
    ],
    [
      [
        `image.digest=sha256:${'0'.repeat(64)}`,
        'podLabels.team=data',
        'podAnnotations.note=x',
        'extraEnv[0].name=A',
        'extraEnv[0].value=b',
      ],
    ],
  ])('every pod runs as nobody, read-only, without a token and with secrets by reference: %j', (values) => {
    const pods = podsOf(rendered(...values));
    expect(pods.length).toBeGreaterThan(1);
    for (const pod of pods) {
      expect(pod.automountServiceAccountToken).toBe(false);
      expect(pod.securityContext).toMatchObject({
        runAsNonRoot: true,
        runAsUser: 1000,
        seccompProfile: { type: 'RuntimeDefault' },
      });
      const [{ securityContext, env }] = pod.containers;
      expect(securityContext).toEqual({
        allowPrivilegeEscalation: false,
        readOnlyRootFilesystem: true,
        runAsNonRoot: true,
        capabilities: { drop: ['ALL'] },
      });
      expect(new Set(env.map(({ name }) => name)).size).toBe(env.length);
      for (const [name, { secret }] of Object.entries<Setting>(settings)) {
        if (secret)
          expect(env.find((variable) => variable.name === name)?.valueFrom?.secretKeyRef.key).toBe(name);
      }
    }
  });

  it('takes every setting that is no secret, and gives it to every container', () => {
    const samples: Partial<Record<string, string>> = {
      CKAN_SITE_URL: 'https://data.example.org',
      DUMPER_BLOB_STORE: 's3://bucket/prefix',
      DUMPER_PUBLIC_BLOB_URL: 'https://cdn.example.org',
      DUMPER_BASE_URL: 'https://dumps.example.org',
    };
    const carried = Object.entries<Setting>(settings).filter(
      ([name, { secret }]) => !secret && name !== 'DUMPER_ROLE' && name !== 'DUMPER_HOST',
    );
    const values = carried.map(
      ([name, { default: fallback }]) =>
        `settings.${name}=${(samples[name] ?? fallback ?? 'text').replaceAll(',', String.raw`\,`)}`,
    );
    for (const pod of podsOf(rendered(...values.filter((value) => !value.includes('MS_IN_TIMESTAMP'))))) {
      const [{ env }] = pod.containers;
      for (const [name, { default: fallback }] of carried) {
        if (name.endsWith('MS_IN_TIMESTAMP')) continue;
        const wanted = samples[name] ?? fallback ?? 'text';
        expect(env.find((variable) => variable.name === name)?.value, name).toBe(wanted);
      }
    }
  });

  it('refuses a mistyped setting, a secret as plain text, and values of the wrong kind', () => {
    expect(refused('settings.DUMPER_PROT=1')).toContain('DUMPER_PROT');
    expect(refused('settings.DUMPER_ADMIN_TOKEN=plain')).toContain('DUMPER_ADMIN_TOKEN');
    expect(refused('settings.DUMPER_DELIVERY=pigeon')).toContain('DUMPER_DELIVERY');
    expect(refused('settings.DUMPER_PORT=http')).toContain('DUMPER_PORT');
    expect(refused('settings.DUMPER_QUIET_SECONDS=90000')).toContain('DUMPER_QUIET_SECONDS');
    expect(refused('settings.CKAN_SITE_URL=ckan:5000')).toContain('CKAN_SITE_URL');
    expect(refused('settings.DUMPER_BLOB_STORE=bucket')).toContain('DUMPER_BLOB_STORE');
    expect(refused('aws.AWS_SECRET_ACCESS_KEY=plain')).toContain('AWS_SECRET_ACCESS_KEY');
    expect(refused('mode=both')).toContain('mode');
    expect(refused('ingress.enabled=true')).toContain("name CKAN's own host");
  });

  it('gives the grace of the drain to the pod, and the port of the settings to probes and service', () => {
    const [pod] = podsOf(
      rendered(
        'settings.DUMPER_DRAIN_SECONDS=100',
        'settings.DUMPER_PORT=9000',
        'settings.DUMPER_CKAN_VERSION=2.12',
        'migrate.enabled=false',
      ),
    );
    expect(pod?.terminationGracePeriodSeconds).toBe(120);
    expect(pod?.containers[0].ports).toEqual([{ name: 'http', containerPort: 9000 }]);
    const [undrained] = podsOf(rendered('settings.DUMPER_DRAIN_SECONDS=0'));
    expect(undrained?.terminationGracePeriodSeconds).toBe(20);
  });

  it('sends only /datastore/dump/ here, and what a directory store redirects to', () => {
    const sent = (...values: string[]) => {
      const ingress = rendered(...everything, ...values).find(({ kind }) => kind === 'Ingress')?.spec as {
        rules: { http: { paths: { path: string; pathType: string }[] } }[];
      };
      return ingress.rules.flatMap(({ http }) => http.paths);
    };
    const dumps = { path: '/datastore/dump/', pathType: 'Prefix' };
    const blobs = { path: '/blobs/', pathType: 'Prefix' };
    const directory = ['settings.DUMPER_BLOB_STORE=file:///blobs', 'persistence.create=true'];
    expect(sent()).toMatchObject([dumps]);
    expect(sent(...directory)).toMatchObject([dumps, blobs]);
    expect(sent(...directory, 'settings.DUMPER_DELIVERY=stream')).toMatchObject([dumps]);
    expect(sent(...directory, 'settings.DUMPER_BASE_URL=https://d.example.org')).toMatchObject([dumps]);
  });

  it('migrates before an upgrade, and before the first pod where asked', () => {
    const hook = (resources: Resource[]) =>
      resources.find(({ kind }) => kind === 'Job')?.metadata.annotations?.['helm.sh/hook'];
    expect(hook(rendered())).toBe('pre-upgrade');
    expect(hook(rendered('migrate.onInstall=true'))).toBe('pre-install,pre-upgrade');
    expect(podsOf(rendered()).map(({ containers }) => containers[0].args)).toContainEqual(['migrate']);
  });
});

describe('what the chart watches', () => {
  it.skipIf(helm === null)(
    'the alert rules are those of a plain Prometheus, with series and limits of its own',
    () => {
      const [plain] = (parse(textOf('packaging/monitoring/alerts.yaml')) as Rules).groups;
      const made = rendered(
        'prometheusRule.enabled=true',
        'prometheusRule.matchers=cluster="x"',
        'prometheusRule.staleSeconds=7200',
        'prometheusRule.sweepMissingSeconds=900',
      );
      const [resource] = ofKind(made, 'PrometheusRule');
      const [group] = (resource as unknown as { readonly spec: Rules }).spec.groups;
      const limits = (expr: string): string =>
        expr
          .replaceAll('job="datastore-dumper"', 'cluster="x"')
          .replaceAll(/> (3600|1800)\b/g, (_limit, seconds) => (seconds === '3600' ? '> 7200' : '> 900'));
      expect(group.rules).toEqual(
        plain.rules.map((rule) => ({
          ...rule,
          expr: limits(rule.expr),
          labels: { ...rule.labels, namespace: 'default' },
        })),
      );
      expect(JSON.stringify(group)).toMatch(/> 7200.*> 900/);
    },
  );

  it('the default values name only settings that exist', () => {
    const values = parse(textOf('helm/datastore-dumper/values.yaml')) as {
      settings: Record<string, unknown>;
    };
    for (const name of Object.keys(values.settings)) expect(Object.keys(settings)).toContain(name);
  });
});
