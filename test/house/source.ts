/** Source files as trees: their imports and the lengths of their functions. */
import path from 'node:path';
import { parseAst } from 'vitest/node';
import { textOf } from './tree.ts';

interface Node {
  readonly type: string;
  readonly start: number;
  readonly end: number;
  readonly [key: string]: unknown;
}

const isNode = (value: unknown): value is Node =>
  typeof value === 'object' && value !== null && typeof (value as Node).type === 'string';

function collect(node: Node, into: Node[]): Node[] {
  into.push(node);
  for (const value of Object.values(node)) {
    const children: readonly unknown[] = Array.isArray(value) ? (value as unknown[]) : [value];
    for (const child of children) if (isNode(child)) collect(child, into);
  }
  return into;
}

/** Each file is read and parsed once a run. */
const parsed = new Map<string, readonly Node[]>();

function nodesOf(file: string): readonly Node[] {
  const nodes = parsed.get(file) ?? collect(parseAst(textOf(file), { lang: 'ts' }) as unknown as Node, []);
  parsed.set(file, nodes);
  return nodes;
}

/** What a file imports: paths from the root for its own files (`.ts`), package names for the rest. */
export function importsOf(file: string): string[] {
  return nodesOf(file).flatMap((node) => {
    const source = node['source'];
    if (!/^(Import|Export)/.test(node.type) || !isNode(source) || typeof source['value'] !== 'string')
      return [];
    const wanted = source['value'];
    return [wanted.startsWith('.') ? path.join(path.dirname(file), wanted) : wanted];
  });
}

/** A file and every file below `folder` that it imports, directly or through others. */
export function reachedFrom(file: string, folder: string, reached = new Set<string>()): string[] {
  if (reached.has(file)) return [];
  reached.add(file);
  for (const next of importsOf(file)) if (next.startsWith(folder)) reachedFrom(next, folder, reached);
  return [...reached];
}

const nameOf = (node: unknown): string[] => (isNode(node) ? [String(node['name'] ?? node['value'])] : []);
const childrenOf = (node: Node, key: string): Node[] => ((node[key] ?? []) as unknown[]).filter(isNode);

export interface ExportedName {
  readonly name: string;
  /** An interface, a type or a class. */
  readonly isType: boolean;
}

/** The names that a file exports. */
export function exportsOf(file: string): ExportedName[] {
  return nodesOf(file)
    .filter(({ type }) => type === 'ExportNamedDeclaration')
    .flatMap((node) => {
      const { declaration } = node;
      const names = isNode(declaration)
        ? [declaration, ...childrenOf(declaration, 'declarations')].flatMap(({ id }) => nameOf(id))
        : childrenOf(node, 'specifiers').flatMap(({ exported }) => nameOf(exported));
      const isType = isNode(declaration) && /^(TS|Class)/.test(declaration.type);
      return names.map((name) => ({ name, isType }));
    });
}

/** The names that a file takes from others, as `file name`; of a file that it imports whole, every word that it has. */
export function namesImported(file: string): string[] {
  const words = [...new Set(textOf(file).match(/\w+/g))];
  return nodesOf(file).flatMap((node) => {
    const from = node['source'];
    if (!isNode(from) || typeof from['value'] !== 'string' || !from['value'].startsWith('.')) return [];
    const imported = path.join(path.dirname(file), from['value']);
    const specifiers = childrenOf(node, 'specifiers');
    const isWhole =
      node.type === 'ImportExpression' || specifiers.some(({ type }) => type === 'ImportNamespaceSpecifier');
    const names = isWhole ? words : specifiers.flatMap((one) => nameOf(one['imported'] ?? one['local']));
    return names.map((name) => `${imported} ${name}`);
  });
}

export interface FunctionLength {
  readonly where: string;
  readonly lines: number;
}

/** Every function of a file with its lines, from its head to its closing brace. */
export function functionLengths(file: string): FunctionLength[] {
  const text = textOf(file);
  const line = (offset: number): number => text.slice(0, offset).split('\n').length;
  return nodesOf(file)
    .filter(({ type }) => /^(FunctionDeclaration|FunctionExpression|ArrowFunctionExpression)$/.test(type))
    .map(({ start, end }) => ({ where: `${file}:${line(start)}`, lines: line(end) - line(start) + 1 }));
}

/** Whether a file reads the environment, the arguments, the signals or ends the process (`process.env` and so on). */
export function readsProcess(file: string): boolean {
  return nodesOf(file).some(({ type, object, property }) => {
    if (type !== 'MemberExpression' || !isNode(object) || !isNode(property)) return false;
    return (
      object['name'] === 'process' && /^(env|argv|exit|exitCode|on|once)$/.test(String(property['name']))
    );
  });
}

/** Calls and types that the house does without: streams joined by `.pipe()`, `any`. */
export function banned(file: string): string[] {
  const schemas = importsOf(file).includes('zod');
  return nodesOf(file).flatMap((node) => {
    if (node.type === 'TSAnyKeyword') return [`${file}: any`];
    const { callee } = node;
    const piped = isNode(callee) && isNode(callee['property']) && callee['property']['name'] === 'pipe';
    return node.type === 'CallExpression' && piped && !schemas ? [`${file}: .pipe()`] : [];
  });
}
