/** The checkout as the house tests read it: tracked files, their text, the promises that tests name. */
import { execFileSync } from 'node:child_process';
import { existsSync, readFileSync } from 'node:fs';
import path from 'node:path';

export const root = path.resolve(import.meta.dirname, '../..');

/** Paths of files that are tracked or about to be (ignored ones left out), relative to the root. */
export function checkoutFiles(pattern: RegExp): string[] {
  const listed = execFileSync('git', ['ls-files', '--cached', '--others', '--exclude-standard'], {
    cwd: root,
    encoding: 'utf8',
  });
  return listed
    .split('\n')
    .filter((file) => pattern.test(file) && existsSync(path.join(root, file)))
    .sort();
}

export function textOf(file: string): string {
  return readFileSync(path.join(root, file), 'utf8');
}

/** Test files by promise: those in which the name of a test or a group holds the id. */
export function provingTests(): Map<string, string[]> {
  const proofs = new Map<string, string[]>();
  for (const file of checkoutFiles(/^test\/.*\.test\.ts$/)) {
    const text = textOf(file);
    const names = [
      ...text.matchAll(/\b(?:it|test|describe)\b[^'"`\n]*\(\s*(['"`])(.*?)\1/gs),
      ...text.matchAll(/\)\(\s*(['"`])(.*?)\1/gs),
    ].map((match) => match[2] ?? '');
    const ids = new Set(names.flatMap((name) => name.match(/\bP\d{1,2}\b/g) ?? []));
    for (const id of ids) proofs.set(id, [...(proofs.get(id) ?? []), file]);
  }
  return proofs;
}
