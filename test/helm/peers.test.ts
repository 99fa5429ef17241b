/** Whom the pods may talk to, who may talk to them, and whose series raise an alert. */
import { describe, expect, it } from 'vitest';
import { helm, ofKind, policyOf, rendered } from './rendered.ts';

describe.skipIf(helm === null)('the chart among its neighbours', () => {
  it('reaches DNS, its peers by port, and whatever else is asked for', () => {
    const { egress } = policyOf(rendered('networkPolicy.extraEgress[0].ports[0].port=6432'));
    const ports = egress.flatMap((rule) => rule.ports.map(({ port }) => port));
    expect(ports).toEqual(expect.arrayContaining([53, 5432, 5000, 443, 6379, 6432]));
  });

  it('reaches the ports that addresses in the settings name', () => {
    const { egress } = policyOf(
      rendered('settings.CKAN_SITE_URL=http://ckan:8080', 'aws.AWS_ENDPOINT_URL_S3=http://store:3900'),
    );
    expect(egress.map((rule) => rule.ports.map(({ port }) => port))).toEqual([
      [53, 53],
      [5432],
      [80, 443, 5000, 8080],
      [443, 9000, 3900],
      [6379],
    ]);
  });

  it('a peer without ports is a peer without a way, not with every way', () => {
    const { egress } = policyOf(
      rendered(...['postgres', 'ckan', 'blobStore', 'redis'].map((peer) => `networkPolicy.${peer}.ports=[]`)),
    );
    expect(egress.map((rule) => rule.ports.map(({ port }) => port))).toEqual([[53, 53]]);
  });

  it('who else may come in, the pod of helm test may', () => {
    const resources = rendered('networkPolicy.ingressFrom[0].podSelector.matchLabels.app=nginx');
    const [test] = ofKind(resources, 'Pod') as unknown as { metadata: { labels: Record<string, string> } }[];
    const [rule] = policyOf(resources).ingress;
    expect(rule?.from).toEqual([
      { podSelector: { matchLabels: { app: 'nginx' } } },
      { podSelector: { matchLabels: test?.metadata.labels } },
    ]);
    expect(test?.metadata.labels, 'not under the policy of the service').not.toHaveProperty(
      'app.kubernetes.io/name',
    );
  });

  it('alerts go by the series of their own release, or by what is asked for', () => {
    const expressionsOf = (...values: string[]) =>
      (
        ofKind(rendered('prometheusRule.enabled=true', ...values), 'PrometheusRule') as unknown as {
          spec: { groups: { rules: { expr: string; labels: Record<string, string> }[] }[] };
        }[]
      ).flatMap(({ spec }) => spec.groups.flatMap(({ rules }) => rules));
    const own = 'namespace="default",job=~"release-datastore-dumper|release-datastore-dumper-publish"';
    const selected = /datastore_dumper_\w+(\{[^}]*\})?/g;
    for (const { expr, labels } of expressionsOf()) {
      expect(labels).toMatchObject({ namespace: 'default' });
      for (const [, matchers = ''] of expr.matchAll(selected)) expect(matchers).toContain(own);
    }
    for (const { expr } of expressionsOf('prometheusRule.matchers=job="portal"'))
      for (const [, matchers = ''] of expr.matchAll(selected)) expect(matchers).toContain('job="portal"');
  });
});
