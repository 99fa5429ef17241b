/** The house rules of names: an export is used, means one thing and stands in the glossary; no import cycle. */
import { describe, expect, it } from 'vitest';
import { exportsOf, importsOf, namesImported } from './source.ts';
import { checkoutFiles, textOf } from './tree.ts';

// The WebAssembly kernel's own files (`.as.ts`) export to its host, not to other files.
const written = checkoutFiles(/^(src|test|bench)\/.*\.ts$/).filter((file) => !file.endsWith('.as.ts'));
const source = written.filter((file) => file.startsWith('src/'));
const exported = source.flatMap((file) => exportsOf(file).map((entry) => ({ file, ...entry })));
const types = exported.filter(({ isType }) => isType);

describe('the names of the house', () => {
  it('no two exported types share a name', () => {
    expect(types.length).toBeGreaterThan(100);
    const shared = [...Map.groupBy(types, ({ name }) => name)].filter(([, entries]) => entries.length > 1);
    expect(shared.map(([name, entries]) => [name, ...entries.map(({ file }) => file)].join(' '))).toEqual([]);
  });

  it('every export is used by another file of src, test or bench', () => {
    const used = new Set(written.flatMap(namesImported));
    const unused = exported.filter(({ file, name }) => !used.has(`${file} ${name}`));
    expect(unused.map(({ file, name }) => `${file}: ${name}`)).toEqual([]);
  });

  it('no file imports itself by way of others, not even for a type', () => {
    expect(cyclesOf(source)).toEqual([]);
  });

  it('no room imports itself by way of others: the arrows between folders run one way', () => {
    const roomOf = (file: string): string => file.split('/').slice(0, 2).join('/');
    const arrows = new Map<string, Set<string>>();
    for (const file of source) {
      const from = roomOf(file);
      const to = importsOf(file)
        .filter((imported) => imported.startsWith('src/'))
        .map(roomOf);
      arrows.set(from, new Set([...(arrows.get(from) ?? []), ...to.filter((room) => room !== from)]));
    }
    const reaches = (from: string, target: string, seen = new Set<string>()): boolean =>
      [...(arrows.get(from) ?? [])].some(
        (next) => next === target || (!seen.has(next) && reaches(next, target, seen.add(next))),
      );
    expect([...arrows.keys()].filter((room) => reaches(room, room))).toEqual([]);
  });

  it('every exported type is a term of the glossary', () => {
    const terms = textOf('docs/glossary.md')
      .split('\n')
      .flatMap((row) => /^\| ([^|]+) \|/.exec(row)?.[1]?.match(/\w+/g) ?? []);
    const missing = types.filter(({ name }) => !terms.includes(name));
    expect(missing.map(({ file, name }) => `${name} (${file})`)).toEqual([]);
  });
});

/** The shortest import path from each file back to itself, once for each set of files. */
function cyclesOf(files: readonly string[]): string[] {
  const imports = new Map(files.map((file) => [file, importsOf(file)]));
  const found = new Map<string, string>();
  for (const file of files) {
    const way = wayBack(file, imports);
    if (way !== null) found.set(way.toSorted().join(' '), [...way, file].join(' -> '));
  }
  return [...found.values()];
}

function wayBack(start: string, imports: ReadonlyMap<string, readonly string[]>): string[] | null {
  const seen = new Set<string>();
  const ways = [[start]];
  for (const way of ways) {
    for (const file of imports.get(way.at(-1) ?? start) ?? []) {
      if (file === start) return way;
      if (seen.has(file)) continue;
      seen.add(file);
      ways.push([...way, file]);
    }
  }
  return null;
}
