/** The installed command: on a Node that is too old it says so in one line, on the right one it is the program. */
import { spawnSync } from 'node:child_process';
import { accessSync, constants } from 'node:fs';
import path from 'node:path';
import { describe, expect, it } from 'vitest';
import { root, textOf } from '../house/tree.ts';

const command = path.join(root, 'bin/datastore-dumper.js');
const manifest = JSON.parse(textOf('package.json')) as {
  readonly bin: Record<string, string>;
  readonly engines: { readonly node: string };
};

/** A Node before 24 on this machine: of the path without the checkout's own, or named by TEST_OLD_NODE. */
function oldNodes(): string[] {
  const places = (process.env['PATH'] ?? '').split(path.delimiter).map((folder) => path.join(folder, 'node'));
  const named = process.env['TEST_OLD_NODE'];
  return [...(named === undefined ? [] : [named]), ...new Set(places)].filter((file) => {
    const major = Number(/^v(\d+)/.exec(spawnSync(file, ['-v'], { encoding: 'utf8' }).stdout ?? '')?.[1]);
    return major < 24;
  });
}

describe('the installed command', () => {
  it('is the file that the package names, and may be executed', () => {
    expect(manifest.bin).toEqual({ 'datastore-dumper': path.relative(root, command) });
    accessSync(command, constants.X_OK);
  });

  it('asks for the Node that the package asks for', () => {
    expect(manifest.engines.node).toBe(`>=${/needed = (\d+)/.exec(textOf('bin/datastore-dumper.js'))?.[1]}`);
  });

  const old = oldNodes();
  it.skipIf(old.length === 0)('says in one line that Node is too old, and ends with 78', () => {
    for (const node of old) {
      const ended = spawnSync(node, [command, 'serve'], { encoding: 'utf8' });
      expect(ended.stderr).toMatch(
        /^datastore-dumper needs Node 24 or later\. This is Node \d+\.\S+ \(.+\)\.\n$/,
      );
      expect([ended.stdout, ended.status]).toEqual(['', 78]);
    }
  });
});
