/** The systemd unit: systemd itself finds no fault in it, it is closed, and it ends as the service ends. */
import { spawnSync } from 'node:child_process';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { afterAll, describe, expect, it } from 'vitest';
import { settings } from '../../src/config/settings.ts';
import { textOf } from '../house/tree.ts';

const unit = textOf('packaging/systemd/datastore-dumper.service');
const valuesOf = (name: string): string[] =>
  [...unit.matchAll(new RegExp(`^${name}=(.*)$`, 'gm'))].map((match) => match[1] ?? '');
const valueOf = (name: string): string | undefined => valuesOf(name)[0];

const analyze = spawnSync('systemd-analyze', ['--version']).status === 0;
const directory = mkdtempSync(path.join(tmpdir(), 'dumper-unit-'));
afterAll(() => rmSync(directory, { recursive: true, force: true }));

/** The unit with a program that this machine has, since systemd refuses one that is not there. */
function installed(): string {
  const file = path.join(directory, 'datastore-dumper.service');
  writeFileSync(file, unit.replace('=/usr/bin/node ', `=${process.execPath} `));
  return file;
}

describe('the systemd unit', () => {
  it.skipIf(!analyze)('has no fault that systemd finds, and little exposure', () => {
    const verified = spawnSync('systemd-analyze', ['verify', installed()], { encoding: 'utf8' });
    expect([verified.status, verified.stdout, verified.stderr]).toEqual([0, '', '']);
    const judged = spawnSync(
      'systemd-analyze',
      ['security', '--offline=true', '--no-pager', '--threshold=20', installed()],
      { encoding: 'utf8' },
    );
    expect(judged.status, judged.stdout).toBe(0);
  });

  it('has a user of its own, that the sysusers file makes, and a directory of its own', () => {
    const user = valueOf('User');
    expect(user).not.toBe('root');
    expect(textOf('packaging/systemd/datastore-dumper.sysusers')).toMatch(new RegExp(`^u ${user} -`, 'm'));
    const environment = textOf('packaging/systemd/environment');
    expect(environment).toContain(`file:///var/lib/${valueOf('StateDirectory')}/`);
    expect(valueOf('ProtectSystem')).toBe('strict');
  });

  it('runs the installed command with the flags of the image', () => {
    const flags = /exec node (.*) \/app\/dist\/main\.js/.exec(textOf('Dockerfile'))?.[1] ?? 'none';
    expect(valueOf('ExecStart')).toContain(` ${flags} `);
    expect(valueOf('ExecStart')).toMatch(/\/datastore-dumper\/bin\/datastore-dumper\.js serve$/);
  });

  it('waits for the drain, and does not start again what wrong settings ended', () => {
    expect(Number(valueOf('TimeoutStopSec'))).toBeGreaterThan(Number(settings.DUMPER_DRAIN_SECONDS.default));
    expect(valueOf('RestartPreventExitStatus')?.split(' ')).toEqual(['64', '78']);
  });

  it('the example of its settings names only settings that exist, each once', () => {
    const lines = textOf('packaging/systemd/environment').split('\n');
    const names = lines.filter((line) => /^\w/.test(line)).map((line) => line.split('=')[0] ?? '');
    expect(new Set(names).size).toBe(names.length);
    for (const name of names) expect(Object.keys(settings)).toContain(name);
  });
});
