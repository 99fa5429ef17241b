/** The command line: what it parses, what it refuses, and which exit code each outcome has. */
import { describe, expect, it } from 'vitest';
import { runProgram, type Actions, type Run } from '../../src/cli/program.ts';
import { readConfig } from '../../src/config/config.ts';
import { DumperError } from '../../src/errors.ts';
import { settings } from '../../src/config/settings.ts';

interface Ran {
  readonly code: number;
  readonly stdout: string;
  readonly stderr: string;
  readonly calls: readonly (readonly [string, unknown, Run])[];
}

async function ran(argv: readonly string[], overrides: Partial<Actions> = {}): Promise<Ran> {
  const calls: [string, unknown, Run][] = [];
  let stdout = '';
  let stderr = '';
  const plain = (name: string) => async (run: Run) => (calls.push([name, null, run]), 0 as const);
  const withOptions = (name: string) => async (options: unknown, run: Run) => (
    calls.push([name, options, run]),
    0 as const
  );
  const actions: Actions = {
    serve: plain('serve'),
    publish: withOptions('publish'),
    sweep: plain('sweep'),
    status: withOptions('status'),
    verify: withOptions('verify'),
    migrate: plain('migrate'),
    installTriggers: withOptions('installTriggers'),
    removeTriggers: withOptions('removeTriggers'),
    demo: withOptions('demo'),
    doctor: plain('doctor'),
    ...overrides,
  };
  const code = await runProgram(argv, actions, {
    stdout: { isTTY: false, columns: 100, write: (text) => (stdout += text) },
    stderr: { write: (text) => (stderr += text) },
    signal: new AbortController().signal,
    version: '1.2.3',
  });
  return { code, stdout, stderr, calls };
}

describe('the command line', () => {
  it.each([
    [['serve'], 'serve', null],
    [
      ['publish', 'a', 'b'],
      'publish',
      { ids: ['a', 'b'], all: false, concurrency: undefined, tablesPerMinute: undefined },
    ],
    [
      ['publish', '--all', '--concurrency', '3', '--rate', '60'],
      'publish',
      { ids: [], all: true, concurrency: 3, tablesPerMinute: 60 },
    ],
    [['sweep'], 'sweep', null],
    [['status'], 'status', { id: undefined }],
    [['status', 'x'], 'status', { id: 'x' }],
    [['verify', 'x'], 'verify', { id: 'x' }],
    [['migrate'], 'migrate', null],
    [['install-triggers', '--print'], 'installTriggers', { superuserUrl: undefined, print: true }],
    [
      ['remove-triggers', '--superuser-url', 'postgresql://u@h/d'],
      'removeTriggers',
      { superuserUrl: 'postgresql://u@h/d', print: false },
    ],
    [['demo', '--port', '0', '--once'], 'demo', { port: 0, directory: undefined, once: true }],
    [['doctor'], 'doctor', null],
  ])('%j runs its action', async (argv, name, options) => {
    const { code, calls } = await ran(argv);
    expect(code).toBe(0);
    expect(calls.map(([called, given]) => [called, given])).toEqual([[name, options]]);
  });

  it('--json reaches the output', async () => {
    const { calls } = await ran(['status', '--json']);
    expect(calls[0]?.[2].output.json).toBe(true);
  });

  it.each([
    [[]],
    [['no-such-command']],
    [['publish']],
    [['publish', '--all', 'x']],
    [['publish', '--all', '--rate', '0']],
    [['publish', '--all', '--concurrency', 'many']],
    [['demo', '--port', '70000']],
    [['serve', 'surplus']],
    [['status', '--nope']],
  ])('%j is wrong usage: 64, and nothing runs', async (argv) => {
    const { code, calls, stderr } = await ran(argv);
    expect(code).toBe(64);
    expect(calls).toEqual([]);
    expect(stderr).not.toBe('');
  });

  it('a failure is 1, a fault of the settings 78 with every fault on its own line', async () => {
    expect((await ran(['serve'], { serve: async () => 1 })).code).toBe(1);
    const broken = async (): Promise<0> => {
      readConfig({ DUMPER_PORT: 'x', DUMPER_PROT: '1', DUMPER_ROLE: 'king' }, ['read', 'site']);
      return 0;
    };
    const { code, stderr } = await ran(['serve'], { serve: broken });
    expect(code).toBe(78);
    const faulty = ['DUMPER_PORT', 'DUMPER_PROT', 'DUMPER_ROLE', 'CKAN_DATASTORE_READ_URL', 'CKAN_SITE_URL'];
    for (const name of faulty) expect(stderr).toMatch(new RegExp(`^datastore-dumper: ${name}: `, 'm'));
  });

  it('P18: a reason that holds a password or a signature is printed without it', async () => {
    const leaking = async (): Promise<0> => {
      throw new DumperError(
        'POSTGRES_UNAVAILABLE',
        'postgresql://u:canary-1@h/d and ?X-Amz-Signature=canary-2&x=1',
      );
    };
    const { code, stderr } = await ran(['serve'], { serve: leaking });
    expect(code).toBe(1);
    expect(stderr).not.toContain('canary');
  });

  it('help names every command, every setting and the exit codes; the version is printed', async () => {
    const { code, stdout } = await ran(['--help']);
    expect(code).toBe(0);
    for (const name of Object.keys(settings)) expect(stdout).toContain(`  ${name}`);
    for (const command of [
      'serve',
      'publish',
      'sweep',
      'status',
      'verify',
      'install-triggers',
      'remove-triggers',
      'demo',
      'doctor',
      'migrate',
    ]) {
      expect(stdout).toMatch(new RegExp(`^  ${command}\\b`, 'm'));
    }
    expect(stdout).toContain('78 wrong configuration');
    expect(await ran(['--version'])).toMatchObject({ code: 0, stdout: '1.2.3\n' });
  });
});
