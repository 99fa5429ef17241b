/** The chart as helm renders it: the program found or built, values in, resources out. */
import { execFileSync, spawnSync } from 'node:child_process';
import { existsSync, mkdirSync } from 'node:fs';
import { homedir } from 'node:os';
import path from 'node:path';
import { parseAllDocuments } from 'yaml';
import { root } from '../house/tree.ts';

export const chart = path.join(root, 'helm/datastore-dumper');
export const helm = findHelm();

/** From the path, from the cache, or built once where Go is at hand; null where neither is. */
function findHelm(): string | null {
  const cached = path.join(
    process.env['XDG_CACHE_HOME'] ?? path.join(homedir(), '.cache'),
    'datastore-dumper/bin/helm',
  );
  if (existsSync(cached)) return cached;
  if (spawnSync('helm', ['version']).status === 0) return 'helm';
  if (spawnSync('go', ['version']).status !== 0) return null;
  mkdirSync(path.dirname(cached), { recursive: true });
  const built = spawnSync('go', ['install', 'helm.sh/helm/v3/cmd/helm@v3.22.0'], {
    env: { ...process.env, GOBIN: path.dirname(cached) },
    stdio: 'ignore',
  });
  return built.status === 0 ? cached : null;
}

export interface Resource {
  readonly kind: string;
  readonly metadata: { readonly name: string; readonly annotations?: Record<string, string> };
  readonly spec?: unknown;
}

export interface Container {
  readonly name: string;
  readonly args: readonly string[];
  readonly env: readonly {
    readonly name: string;
    readonly value?: string;
    readonly valueFrom?: {
      readonly secretKeyRef: { readonly name: string; readonly key: string; readonly optional: boolean };
    };
  }[];
  readonly securityContext: Record<string, unknown>;
  readonly ports?: readonly { readonly containerPort: number }[];
}

export interface Pod {
  readonly automountServiceAccountToken: boolean;
  readonly terminationGracePeriodSeconds?: number;
  readonly securityContext: Record<string, unknown>;
  readonly containers: readonly [Container];
}

export const rendered = (...values: string[]): Resource[] => renderedAs('release', values);

export function renderedAs(release: string, values: readonly string[]): Resource[] {
  const text = execFileSync(
    helm ?? 'helm',
    [
      'template',
      release,
      chart,
      ...values.flatMap((value) => [value.endsWith('=[]') ? '--set-json' : '--set', value]),
    ],
    {
      encoding: 'utf8',
      stdio: ['ignore', 'pipe', 'pipe'],
    },
  );
  // as Go's YAML reads it: y and on are truths
  return parseAllDocuments(text, { version: '1.1' })
    .map((document) => document.toJS() as Resource | null)
    .filter((resource) => resource !== null);
}

export const refused = (...values: string[]): string => {
  try {
    rendered(...values);
    return '';
  } catch (error) {
    return String((error as { stderr?: unknown }).stderr);
  }
};

export const podsOf = (resources: readonly Resource[]): Pod[] =>
  resources
    .filter(({ kind }) => kind === 'Deployment' || kind === 'Job')
    .map(({ spec }) => (spec as { template: { spec: Pod } }).template.spec);

export const ofKind = (resources: readonly Resource[], kind: string): Resource[] =>
  resources.filter((resource) => resource.kind === kind);

/** Rules of the one NetworkPolicy among them. */
export interface PeerRule {
  readonly ports: readonly { readonly port: number | string }[];
  readonly from?: readonly unknown[];
  readonly to?: readonly unknown[];
}

export const policyOf = (resources: readonly Resource[]) => {
  const found = resources.find(({ kind }) => kind === 'NetworkPolicy');
  return found?.spec as { readonly ingress: readonly PeerRule[]; readonly egress: readonly PeerRule[] };
};

export const named = (resources: readonly Resource[], kind: string): string[] =>
  resources
    .filter((resource) => resource.kind === kind)
    .map(({ metadata }) => metadata.name)
    .sort();
