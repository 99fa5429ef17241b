/** The house rules of source: directions of imports, sizes, names, what is never written. */
import path from 'node:path';
import { describe, expect, it } from 'vitest';
import { banned, functionLengths, importsOf, readsProcess, reachedFrom } from './source.ts';
import { checkoutFiles, textOf } from './tree.ts';

const source = checkoutFiles(/^src\/.*\.ts$/).filter((file) => !file.endsWith('.as.ts'));
const all = checkoutFiles(/^(src|test|bench)\/.*\.ts$/);
const written = all.filter((file) => !file.endsWith('.as.ts'));

type Place = 'change' | 'publish' | 'serve' | 'dump' | 'edge' | 'noun';

/** Which part of the house a file belongs to: an act of the story, the edge that people and processes meet, a noun. */
function placeOf(file: string): Place {
  const [, folder = ''] = file.split('/');
  if (/^(change|publish|serve|dump)$/.test(folder)) return folder as Place;
  return /^(main\.ts|app|cli|demo)$/.test(folder) ? 'edge' : 'noun';
}

const mayImport: Readonly<Record<Place, readonly Place[]>> = {
  change: ['change', 'publish', 'noun'],
  publish: ['publish', 'dump', 'noun'],
  serve: ['serve', 'dump', 'noun'],
  dump: ['dump', 'noun'],
  edge: ['change', 'publish', 'serve', 'dump', 'edge', 'noun'],
  noun: ['noun'],
};

describe('the house', () => {
  it('arrows point from the story to the nouns, and serve imports neither change nor publish', () => {
    const wrong = source.flatMap((file) =>
      importsOf(file)
        .filter((imported) => imported.startsWith('src/'))
        .filter((imported) => !mayImport[placeOf(file)].includes(placeOf(imported)))
        .map((imported) => `${file} imports ${imported}`),
    );
    expect(wrong).toEqual([]);
  });

  it('nothing of the product imports a test, a bench or a package that only development has', () => {
    const { dependencies, optionalDependencies } = JSON.parse(textOf('package.json')) as Record<
      string,
      Record<string, string>
    >;
    const known = Object.keys({ ...dependencies, ...optionalDependencies });
    const wrong = source.flatMap((file) =>
      importsOf(file)
        .filter((imported) => !imported.startsWith('src/') && !imported.startsWith('node:'))
        .filter((imported) => !known.some((name) => imported === name || imported.startsWith(`${name}/`)))
        .map((imported) => `${file} imports ${imported}`),
    );
    expect(wrong).toEqual([]);
  });

  it('only main.ts reads the environment, the arguments and the signals of the process', () => {
    const readers = source.filter((file) => file !== 'src/main.ts' && readsProcess(file));
    expect(readers).toEqual([]);
  });

  it('no file is longer than 400 lines, no function longer than 60', () => {
    const files = all.map((file) => [file, textOf(file).trimEnd().split('\n').length] as const);
    expect(files.filter(([, lines]) => lines > 400)).toEqual([]);
    const functions = written.filter((file) => !file.endsWith('.test.ts')).flatMap(functionLengths);
    expect(functions.length).toBeGreaterThan(100);
    expect(functions.filter(({ lines }) => lines > 60)).toEqual([]);
  });

  it('every file says at its head which part of the story it is', () => {
    expect(all.filter((file) => !/^(#!.*\n)?\s*(\/\*\*|\/\/)/.test(textOf(file)))).toEqual([]);
  });

  it('no file has a name that says nothing', () => {
    const empty = /^(utils?|helpers?|common|lib|types?|manager|misc|index)\.ts$/;
    expect(
      all.filter(
        (file) => empty.test(path.basename(file)) || /\/(utils?|helpers?|common|lib|types?)\//.test(file),
      ),
    ).toEqual([]);
    expect(
      all.filter((file) => !/^[a-z0-9]+(-[a-z0-9]+)*(\.[a-z]+)*\.ts$/.test(path.basename(file))),
    ).toEqual([]);
  });

  it('a test is called .unit.test.ts when it starts no server but HTTP, no process and no browser; else it is not', () => {
    const needsMore = (file: string): boolean =>
      file !== 'test/house/tree.ts' &&
      (importsOf(file).includes('node:child_process') || importsOf(file).includes('playwright-core'));
    const tests = all.filter((file) => file.endsWith('.test.ts'));
    const isUnit = (file: string): boolean => file.endsWith('.unit.test.ts');
    const unit = tests.filter((file) => !reachedFrom(file, 'test/').some(needsMore));
    expect(unit.length).toBeGreaterThan(10);
    expect(tests.filter(isUnit)).toEqual(unit);
  });

  it('nothing is left for later, untyped, piped without an end, mocked or run alone', () => {
    const never = [
      /\bTODO\b/,
      /\bFIXME\b/,
      /\bvi\.(do)?[mM]ock\(/,
      /\b(it|describe|test)\.only\(/,
      /@ts-(ignore|nocheck)/,
    ];
    const others = written.filter((file) => file !== 'test/house/source.unit.test.ts');
    const wrong = others.flatMap((file) =>
      never.filter((pattern) => pattern.test(textOf(file))).map((pattern) => `${file}: ${pattern}`),
    );
    expect([...wrong, ...written.flatMap(banned)]).toEqual([]);
  });
});
