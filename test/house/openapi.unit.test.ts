/** The description of the API: sound by itself, and of exactly the routes that the service has. */
import { describe, expect, it } from 'vitest';
import { parse } from 'yaml';
import { checkoutFiles, textOf } from './tree.ts';

type Node = Record<string, unknown>;

const description = parse(textOf('openapi.yaml')) as Node & {
  readonly openapi: string;
  readonly info: { readonly version: string };
  readonly paths: Record<string, Record<string, Node>>;
  readonly components: { readonly securitySchemes: Node };
  readonly tags: readonly { readonly name: string }[];
};
const methods = ['get', 'head', 'post', 'options', 'put', 'patch', 'delete'];
const operations = Object.entries(description.paths).flatMap(([path, item]) =>
  methods
    .filter((method) => item[method] !== undefined)
    .map((method) => ({ path, method, item, operation: item[method] as Node })),
);

/** Every node below, with its place. */
function* walk(node: unknown, at = '#'): Generator<readonly [string, Node]> {
  if (typeof node !== 'object' || node === null) return;
  yield [at, node as Node];
  for (const [key, child] of Object.entries(node)) yield* walk(child, `${at}/${key}`);
}

describe('openapi.yaml', () => {
  it('is of version 3.1 and of this package', () => {
    expect(description.openapi).toMatch(/^3\.1\./);
    expect(description.info.version).toBe(
      (JSON.parse(textOf('package.json')) as { version: string }).version,
    );
  });

  it('every reference leads somewhere', () => {
    const places = new Set([...walk(description)].map(([at]) => at));
    const references = [...walk(description)].flatMap(([, node]) =>
      typeof node['$ref'] === 'string' ? [node['$ref']] : [],
    );
    expect(references.length).toBeGreaterThan(20);
    for (const reference of references) expect(places).toContain(reference);
  });

  it('every operation has an id of its own, a summary, a known tag, and described responses', () => {
    const ids = operations.map(({ operation }) => operation['operationId']);
    expect(new Set(ids).size).toBe(ids.length);
    for (const { path, method, operation } of operations) {
      const where = `${method} ${path}`;
      expect(operation['summary'], where).toEqual(expect.any(String));
      expect(
        description.tags.map(({ name }) => name),
        where,
      ).toEqual(expect.arrayContaining(operation['tags'] as string[]));
      const responses = Object.entries(operation['responses'] as Node);
      expect(responses.length, where).toBeGreaterThan(0);
      for (const [status, response] of responses) {
        expect(status, where).toMatch(/^[2-5]\d\d$/);
        expect(response, where).toEqual(
          expect.objectContaining(
            '$ref' in (response as Node)
              ? { $ref: expect.any(String) as string }
              : { description: expect.any(String) as string },
          ),
        );
      }
      for (const name of (operation['security'] as Node[] | undefined)?.flatMap(Object.keys) ?? []) {
        expect(Object.keys(description.components.securitySchemes), where).toContain(name);
      }
    }
  });

  it('every placeholder of a path is a parameter, and the other way round', () => {
    for (const { path, item, operation } of operations) {
      const listed = [
        ...((item['parameters'] as unknown as Node[] | undefined) ?? []),
        ...((operation['parameters'] as Node[] | undefined) ?? []),
      ];
      const resolved = listed.map((parameter) =>
        parameter['$ref'] === '#/components/parameters/Id' ? { name: 'id', in: 'path' } : parameter,
      );
      const inPath = resolved.filter((parameter) => parameter['in'] === 'path').map(({ name }) => name);
      expect(inPath.toSorted(), path).toEqual(
        [...path.matchAll(/\{(\w+)\}/g)].map((match) => match[1]).toSorted(),
      );
    }
  });

  it('describes every route of the service and no other', () => {
    const routed = checkoutFiles(/^src\/serve\/[^/]+\.ts$/)
      .flatMap((file) => [...textOf(file).matchAll(/router\.(get|post|put|delete|head)\(\s*'([^']+)'/g)])
      .map((match) => `${match[1]} ${(match[2] ?? '').replaceAll(/:(\w+)/g, '{$1}')}`);
    const read = [
      'get /datastore/dump/{id}',
      'head /datastore/dump/{id}',
      'options /datastore/dump/{id}',
      'get /blobs/{key}',
      'head /blobs/{key}',
    ];
    expect(operations.map(({ method, path }) => `${method} ${path}`).toSorted()).toEqual(
      [...new Set([...routed, ...read])].toSorted(),
    );
  });
});
