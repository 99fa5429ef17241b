/** Values that an API server refuses half-way through an installation, or warns of, are refused before anything is made. */
import { describe, expect, it } from 'vitest';
import { helm, refused } from './rendered.ts';

describe.skipIf(helm === null)('the chart before wrong values', () => {
  it.each([
    ['fullnameOverride=Dump_er', 'fullnameOverride'],
    ['secretName=Portal', 'secretName'],
    ['service.port=0', 'port'],
    ['settings.DUMPER_PORT=0', 'DUMPER_PORT'],
    ['settings=null', 'settings'],
    ['serve.autoscaling=null', 'autoscaling'],
    ['settings.DUMPER_PORT=70000', 'DUMPER_PORT'],
    ['serve.autoscaling.minReplicas=0', 'minReplicas'],
    ['serve.autoscaling.maxReplicas=1', 'maxReplicas is less than minReplicas'],
    ['serve.resources.requests.cpu=null', 'serve.resources.requests.cpu'],
    ['serve.resources.limits.memory=1GB', 'memory'],
    ['serve.podDisruptionBudget.maxUnavailable=few', 'maxUnavailable'],
    [String.raw`podLabels.app\.kubernetes\.io/name=x`, 'app.kubernetes.io/name'],
    ['podLabels.team=open data', 'team'],
    ['ingress.hosts[0]=Data.example.org', 'hosts'],
    ['ingress.hosts[0]=https://data.example.org', 'hosts'],
    ['ingress.tls[0].secret=tls', 'secret'],
    ['persistence.size=10GB', 'size'],
    ['persistence.accessModes={ReadWriteOncePod}', 'accessModes'],
    ['serviceMonitor.interval=half', 'interval'],
    ['podSecurityContext.runAsUser=0', 'runAsUser'],
    ['extraEnv[0].name=CKAN_SITE_URL', 'sets CKAN_SITE_URL itself'],
    ['extraEnv[0].name=DUMPER_STATE_URL', 'sets DUMPER_STATE_URL itself'],
    ['extraEnv[0].name=DUMPER_ROLE', 'sets DUMPER_ROLE itself'],
  ])('%s, which the API server would refuse or warn of, is refused before it', (value, named) => {
    expect(refused(value)).toContain(named);
  });

  it.each([
    'aws',
    'secretRefs',
    'extraEnv',
    'podAnnotations',
    'podLabels',
    'podSecurityContext',
    'migrate.podAnnotations',
    'migrate.resources',
    'publish.resources',
    'ingress.tls',
    'networkPolicy.redis',
    'networkPolicy.redis.ports',
    'networkPolicy.redis.to',
  ])('%s can be taken away with null', (value) => {
    expect(refused('ingress.enabled=true', 'ingress.hosts[0]=data.example.org', `${value}=null`)).toBe('');
  });
});
