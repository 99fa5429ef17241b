/** Alert rules and dashboard for a plain Prometheus and Grafana: well formed, and of metrics that the service has. */
import { spawnSync } from 'node:child_process';
import path from 'node:path';
import { describe, expect, it } from 'vitest';
import { parse } from 'yaml';
import { z } from 'zod';
import { createMetrics } from '../../src/metrics.ts';
import { root, textOf } from '../house/tree.ts';

const file = 'packaging/monitoring/alerts.yaml';
const alerts = textOf(file);
const dashboard = textOf('packaging/monitoring/dashboard.json');

const rule = z.strictObject({
  alert: z.string().regex(/^DataStoreDump\w+$/),
  expr: z.string().min(1),
  for: z.string().regex(/^\d+m$/),
  labels: z.strictObject({ severity: z.enum(['warning', 'critical']) }),
  annotations: z.strictObject({ summary: z.string().min(1) }),
});
const rules = z.strictObject({
  groups: z.tuple([z.strictObject({ name: z.literal('datastore-dumper'), rules: z.array(rule).min(1) })]),
});
const panel = z.looseObject({
  id: z.number(),
  title: z.string().min(1),
  targets: z.array(z.looseObject({ expr: z.string().min(1) })).min(1),
});
const board = z.looseObject({
  title: z.string().min(1),
  uid: z.string().min(1),
  panels: z.array(panel).min(1),
});

/** Where Debian's package has it, on the path, or named by TEST_PROMTOOL. */
const promtool = [process.env['TEST_PROMTOOL'] ?? 'promtool', '/usr/bin/promtool'].find(
  (name) => spawnSync(name, ['--version']).status === 0,
);

describe('what a plain Prometheus and Grafana are given', () => {
  it('alert rules are as Prometheus reads them, each alert once', () => {
    const [group] = rules.parse(parse(alerts)).groups;
    const names = group.rules.map(({ alert }) => alert);
    expect(new Set(names).size).toBe(names.length);
  });

  it.skipIf(promtool === undefined)('promtool finds no fault in the rules', () => {
    const checked = spawnSync(promtool ?? '', ['check', 'rules', path.join(root, file)], {
      encoding: 'utf8',
    });
    expect(checked.status, checked.stdout + checked.stderr).toBe(0);
  });

  it('every series of a rule is that of the job, so that the chart can put its own in its place', () => {
    const [group] = rules.parse(parse(alerts)).groups;
    for (const { expr } of group.rules) {
      const series = expr.match(/datastore_dumper_\w+\{[^}]*\}/g) ?? [];
      expect(series.length).toBe(expr.match(/datastore_dumper_/g)?.length);
      for (const one of series) expect(one).toMatch(/[{,]job="datastore-dumper"\}/);
    }
  });

  it('the dashboard is one as Grafana reads it, each panel with a number of its own', () => {
    const { panels } = board.parse(JSON.parse(dashboard));
    expect(new Set(panels.map(({ id }) => id)).size).toBe(panels.length);
  });

  it('alert rules and dashboard name only metrics that the service has', async () => {
    const known = (await createMetrics().registry.getMetricsAsJSON()).map(({ name }) => name);
    const names = [...new Set((alerts + dashboard).match(/datastore_dumper_\w+/g))].map((name) =>
      name.replace(/_bucket$/, ''),
    );
    expect(names.length).toBeGreaterThan(8);
    for (const name of names) expect(known).toContain(name);
  });
});
