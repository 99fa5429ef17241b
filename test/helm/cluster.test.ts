/** The chart before a real API server: names, selectors, references between resources, volumes, what must not happen. */
import { describe, expect, it } from 'vitest';
import { helm, named, ofKind, podsOf, refused, rendered, renderedAs, type Resource } from './rendered.ts';

const everything = [
  'serviceMonitor.enabled=true',
  'prometheusRule.enabled=true',
  'dashboard.enabled=true',
  'ingress.enabled=true',
  'ingress.hosts[0]=data.example.org',
  'persistence.create=true',
  'migrate.onInstall=true',
];

interface Workload {
  readonly spec: {
    readonly selector?: { readonly matchLabels: Record<string, string> };
    readonly template: { readonly metadata: { readonly labels: Record<string, string> } };
  };
}

const versions: Readonly<Record<string, string>> = {
  Deployment: 'apps/v1',
  Job: 'batch/v1',
  Pod: 'v1',
  Service: 'v1',
  ServiceAccount: 'v1',
  ConfigMap: 'v1',
  PersistentVolumeClaim: 'v1',
  Ingress: 'networking.k8s.io/v1',
  NetworkPolicy: 'networking.k8s.io/v1',
  HorizontalPodAutoscaler: 'autoscaling/v2',
  PodDisruptionBudget: 'policy/v1',
  ServiceMonitor: 'monitoring.coreos.com/v1',
  PrometheusRule: 'monitoring.coreos.com/v1',
};

describe.skipIf(helm === null)('the chart on a cluster', () => {
  it.each(['r', 'y', '123', '1st', 'eu.data', 'a-release-name-that-is-as-long-as-helm-lets-it-be-abc'])(
    'names of the release %s are names of Kubernetes, of kinds and versions that are served',
    (release) => {
      for (const resource of renderedAs(release, everything)) {
        const { kind, metadata } = resource;
        expect((resource as unknown as { apiVersion: string }).apiVersion, kind).toBe(versions[kind]);
        expect(metadata.name, kind).toMatch(/^[a-z]([a-z0-9-]{0,61}[a-z0-9])?$/);
        const { labels } = metadata as unknown as { labels: Record<string, string> };
        for (const value of Object.values(labels))
          expect(value).toMatch(/^([A-Za-z0-9]([\w.-]{0,61}[A-Za-z0-9])?)?$/);
      }
    },
  );

  it('two releases in one namespace share no name and no pod', () => {
    const [one, two] = ['one', 'two'].map((release) => renderedAs(release, everything));
    const names = (resources: Resource[] = []) =>
      resources.map(({ kind, metadata }) => `${kind} ${metadata.name}`);
    expect(new Set([...names(one), ...names(two)]).size).toBe(names(one).length + names(two).length);
    const [left, right] = [one, two].map(
      (resources = []) => ofKind(resources, 'Deployment')[0] as never as Workload,
    );
    const instance = 'app.kubernetes.io/instance';
    expect(left?.spec.selector?.matchLabels[instance]).not.toBe(right?.spec.selector?.matchLabels[instance]);
  });

  it('selectors name only what never changes between versions, and select the pods of their own workload', () => {
    const resources = rendered(...everything);
    const deployments = ofKind(resources, 'Deployment') as unknown as Workload[];
    for (const { spec } of deployments) {
      const { matchLabels = {} } = spec.selector ?? {};
      expect(Object.keys(matchLabels).sort()).toEqual([
        'app.kubernetes.io/component',
        'app.kubernetes.io/instance',
        'app.kubernetes.io/name',
      ]);
      expect(spec.template.metadata.labels).toMatchObject(matchLabels);
    }
    for (const { spec } of ofKind(resources, 'Service') as unknown as {
      spec: { selector: Record<string, string> };
    }[]) {
      const selected = deployments.filter(({ spec: { template } }) =>
        Object.entries(spec.selector).every(([label, value]) => template.metadata.labels[label] === value),
      );
      expect(selected).toHaveLength(1);
    }
  });

  it('what scales is not told how many it is; budget and autoscaler mean the deployment that answers', () => {
    const resources = rendered();
    const [scaler] = ofKind(resources, 'HorizontalPodAutoscaler') as unknown as {
      spec: { scaleTargetRef: { name: string } };
    }[];
    const target = ofKind(resources, 'Deployment').find(
      ({ metadata }) => metadata.name === scaler?.spec.scaleTargetRef.name,
    );
    expect(target?.spec).not.toHaveProperty('replicas');
    expect(named(rendered('serve.autoscaling.enabled=false'), 'HorizontalPodAutoscaler')).toEqual([]);
  });

  it('the job before an upgrade or the first installation needs nothing that the chart makes', () => {
    const resources = rendered(...everything, 'settings.DUMPER_BLOB_STORE=file:///blobs');
    const made = resources.filter(({ kind }) => kind !== 'Job').map(({ metadata }) => metadata.name);
    const [pod] = podsOf(ofKind(resources, 'Job')) as unknown as {
      serviceAccountName?: string;
      volumes: Record<string, unknown>[];
    }[];
    expect(pod?.serviceAccountName).toBeUndefined();
    expect(pod?.volumes).toEqual([{ name: 'tmp', emptyDir: { sizeLimit: '256Mi' } }]);
    expect(made).not.toContain('datastore-dumper');
    const given = ['serviceAccount.create=false', 'serviceAccount.name=portal'];
    for (const own of podsOf(rendered(...given))) expect(own).toMatchObject({ serviceAccountName: 'portal' });
    expect(named(rendered(...given), 'ServiceAccount')).toEqual([]);
  });

  it('labels, annotations and volumes of the values are on every pod, the migrating one too', () => {
    const values = [
      'podLabels.team=data',
      'podAnnotations.note=x',
      'extraVolumes[0].name=ca',
      'extraVolumes[0].configMap.name=ca',
      'extraVolumeMounts[0].name=ca',
      'extraVolumeMounts[0].mountPath=/etc/ca',
    ];
    const workloads = rendered(...values).filter(({ kind }) => kind === 'Deployment' || kind === 'Job');
    expect(workloads).toHaveLength(3);
    for (const workload of workloads) {
      expect(workload.spec).toMatchObject({
        template: {
          metadata: { labels: { team: 'data' }, annotations: { note: 'x' } },
          spec: {
            volumes: [{ name: 'tmp' }, { name: 'ca' }],
            containers: [{ volumeMounts: [{ name: 'tmp' }, { name: 'ca', mountPath: '/etc/ca' }] }],
          },
        },
      });
    }
  });

  it('leaves the user to a platform that chooses it, and root to nobody', () => {
    const ids = ['runAsUser', 'runAsGroup', 'fsGroup'];
    for (const pod of podsOf(rendered(...ids.map((id) => `podSecurityContext.${id}=null`))))
      expect(Object.keys(pod.securityContext).sort()).toEqual([
        'fsGroupChangePolicy',
        'runAsNonRoot',
        'seccompProfile',
      ]);
  });

  it('no variable of a Service reaches a pod, where DUMPER_PORT=tcp://… would be a fault of the settings', () => {
    for (const pod of podsOf(rendered(...everything)))
      expect(pod).toMatchObject({ enableServiceLinks: false });
  });

  it('is alive by /healthz, starts by what it needs, and stays in service when a neighbour is out', () => {
    const probesOf = (...values: string[]) =>
      podsOf(rendered('migrate.enabled=false', ...values)).map(
        ({ containers }) =>
          containers[0] as unknown as Record<string, { httpGet: { path: string; port: string } }>,
      );
    for (const probes of probesOf()) {
      expect(probes['livenessProbe']?.httpGet).toEqual({ path: '/healthz', port: 'http' });
      expect(probes['startupProbe']?.httpGet.path).toBe('/readyz?needed=1');
      expect(probes['readinessProbe']?.httpGet.path).toBe('/healthz');
    }
    const [stricter] = probesOf('serve.readinessPath=/readyz?needed=1');
    expect(stricter?.['readinessProbe']?.httpGet.path).toBe('/readyz?needed=1');
    expect(refused('serve.readinessPath=/status')).toContain('readinessPath');
  });

  it('gives a directory store a volume, its own or a given one, and refuses one that would be lost with the pod', () => {
    const directory = 'settings.DUMPER_BLOB_STORE=file:///blobs';
    expect(refused(directory)).toContain('give it a volume');
    expect(refused('settings.DUMPER_BLOB_STORE=file:///data', 'persistence.create=true')).toContain(
      'outside the volume',
    );
    const own = rendered(directory, 'persistence.create=true', 'persistence.size=5Gi');
    expect(named(own, 'PersistentVolumeClaim')).toEqual(['release-datastore-dumper']);
    const given = rendered(directory, 'persistence.existingClaim=blobs');
    expect(named(given, 'PersistentVolumeClaim')).toEqual([]);
    for (const [resources, claimName] of [
      [own, 'release-datastore-dumper'],
      [given, 'blobs'],
    ] as const) {
      const [job] = ofKind(resources, 'Job');
      expect(JSON.stringify(job), 'runs before the volume is there').not.toContain('persistentVolumeClaim');
      for (const pod of podsOf(ofKind(resources, 'Deployment'))) {
        const { volumes } = pod as unknown as {
          volumes: { name: string; persistentVolumeClaim?: { claimName: string } }[];
        };
        expect(volumes.find(({ name }) => name === 'blobs')?.persistentVolumeClaim).toEqual({ claimName });
      }
    }
  });
});
