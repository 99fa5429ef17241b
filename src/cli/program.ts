/**
 * The command line: which commands there are, what each takes, how an outcome becomes an exit code, and `--help`.
 *
 * Nothing here does the work: each command is one function of `Actions`, given by `main.ts`. Exit codes are a
 * contract: 0 done, 1 failed, 64 wrong usage, 78 wrong configuration (sysexits.h).
 */
import { Command, CommanderError, InvalidArgumentError } from 'commander';
import { DumperError, isDumperError, errorMessage } from '../errors.ts';
import { redact } from '../log.ts';
import type { Setting } from '../config/setting.ts';
import { settings } from '../config/settings.ts';

/** Where a command writes: results to standard output, everything else to standard error. */
export interface Output {
  /** Standard output is a terminal, which may be redrawn. */
  readonly terminal: boolean;
  /** Width of the terminal; 80 in a pipe. */
  readonly columns: number;
  /** Results are wanted as JSON, one object a line. */
  readonly json: boolean;
  /** One line of result; the line end is added. */
  line(text: string): void;
  /** One line for the person watching; the line end is added. */
  notice(text: string): void;
}

/** What the process gives: streams, its abort signal, its version. */
interface Terminal {
  readonly stdout: { readonly isTTY?: boolean; readonly columns?: number; write(text: string): unknown };
  readonly stderr: { write(text: string): unknown };
  readonly signal: AbortSignal;
  readonly version: string;
}

/** 0: done; 1: at least one thing failed, and its reason was printed. */
export type ExitCode = 0 | 1;

/** What every command gets beside its options. */
export interface Run {
  /** Aborted by SIGINT and SIGTERM. */
  readonly signal: AbortSignal;
  readonly output: Output;
}

export interface PublishCommandOptions {
  /** Resource ids or aliases; empty with `all`. */
  readonly ids: readonly string[];
  readonly all: boolean;
  /** Publications at once; undefined: as `DUMPER_PUBLISH_SLOTS`. */
  readonly concurrency: number | undefined;
  /** Tables begun per minute at most; undefined: no limit. */
  readonly tablesPerMinute: number | undefined;
}

export interface TableOptions {
  /** Undefined: every table. */
  readonly id: string | undefined;
}

export interface TriggerOptions {
  /** URL of a superuser of the DataStore database: new tables get triggers when they are created. */
  readonly superuserUrl: string | undefined;
  /** Print the SQL instead of running it. */
  readonly print: boolean;
}

export interface DemoOptions {
  /** 0: any free port. */
  readonly port: number;
  /** Where the blobs go; undefined: a temporary directory, removed at the end. */
  readonly directory: string | undefined;
  /** Stop by itself when everything is published: a smoke test. */
  readonly once: boolean;
}

/** One function a command. A thrown `DumperError` becomes its exit code and its one line. */
export interface Actions {
  serve(run: Run): Promise<ExitCode>;
  publish(options: PublishCommandOptions, run: Run): Promise<ExitCode>;
  sweep(run: Run): Promise<ExitCode>;
  status(options: TableOptions, run: Run): Promise<ExitCode>;
  verify(options: TableOptions, run: Run): Promise<ExitCode>;
  migrate(run: Run): Promise<ExitCode>;
  installTriggers(options: TriggerOptions, run: Run): Promise<ExitCode>;
  removeTriggers(options: TriggerOptions, run: Run): Promise<ExitCode>;
  demo(options: DemoOptions, run: Run): Promise<ExitCode>;
  doctor(run: Run): Promise<ExitCode>;
}

/** Parse the arguments (without node and script), run the command, and answer the exit code; never throws. */
export async function runProgram(
  argv: readonly string[],
  actions: Actions,
  terminal: Terminal,
): Promise<number> {
  let exitCode: number = 0;
  const program = createProgram(actions, terminal, (code) => {
    exitCode = code;
  });
  try {
    await program.parseAsync([...argv], { from: 'user' });
    return exitCode;
  } catch (error) {
    return exitCodeOf(error, terminal);
  }
}

function exitCodeOf(error: unknown, terminal: Terminal): number {
  if (error instanceof CommanderError) return error.exitCode === 0 ? 0 : 64;
  if (terminal.signal.aborted && isDumperError(error, 'ABORTED')) return 1;
  const lines = error instanceof DumperError ? error.message : errorMessage(error);
  for (const line of redact(lines).split('\n')) terminal.stderr.write(`datastore-dumper: ${line}\n`);
  return error instanceof DumperError ? error.exitCode : 1;
}

type Done = (code: ExitCode) => void;

/** The program with all commands; `done` hears the exit code of the one that ran. */
function createProgram(actions: Actions, terminal: Terminal, done: Done): Command {
  const program = new Command('datastore-dumper')
    .description('Publishes CKAN DataStore tables as dumps in a blob store and answers /datastore/dump/<id>.')
    .version(terminal.version)
    .helpCommand('help [command]', 'Show help of a command')
    .configureHelp({ helpWidth: terminal.stdout.columns ?? 100, showGlobalOptions: false })
    .configureOutput({
      writeOut: (text) => void terminal.stdout.write(text),
      writeErr: (text) => void terminal.stderr.write(text),
    })
    .exitOverride()
    .showHelpAfterError('Try: datastore-dumper help')
    .addHelpText('after', () => `\n${examples}\n\n${settingsHelp(terminal.stdout.columns ?? 100)}`);
  const run = (json = false): Run => ({ signal: terminal.signal, output: outputOn(terminal, json) });
  addServing(program, actions, run, done);
  addPublishing(program, actions, run, done);
  addReading(program, actions, run, done);
  addTriggers(program, actions, run, done);
  return program;
}

type CreateRun = (json?: boolean) => Run;

function addServing(program: Command, actions: Actions, run: CreateRun, done: Done): void {
  program
    .command('serve')
    .description('Run the service: routes, workers, schedule, as DUMPER_ROLE says')
    .action(async () => done(await actions.serve(run())));
  program
    .command('demo')
    .description(
      'Show it all: a Postgres of its own, the DataStore of a real CKAN, dumps in a directory, the service',
    )
    .option('--port <port>', 'port to listen on; 0: any free one', wholeNumber(0, 65_535), 8000)
    .option('--directory <path>', 'keep the blobs here instead of in a temporary directory')
    .option('--once', 'stop when everything is published', false)
    .action(async (options: { port: number; directory?: string; once: boolean }) =>
      done(await actions.demo({ ...options, directory: options.directory }, run())),
    );
}

function addPublishing(program: Command, actions: Actions, run: CreateRun, done: Done): void {
  const publish = program
    .command('publish')
    .description('Publish tables now, in the foreground, with progress')
    .argument('[ids...]', 'resource ids or aliases')
    .option('--all', 'every table of the DataStore, changed or not', false)
    .option('--concurrency <n>', 'publications at once (default: DUMPER_PUBLISH_SLOTS)', wholeNumber(1, 100))
    .option('--rate <n>', 'begin at most n tables per minute', wholeNumber(1, 100_000))
    .option('--json', 'one JSON object a line', false);
  publish.action(
    async (ids: string[], options: { all: boolean; concurrency?: number; rate?: number; json: boolean }) => {
      if (options.all === ids.length > 0) publish.error('error: give resource ids, or --all');
      const asked = {
        ids,
        all: options.all,
        concurrency: options.concurrency,
        tablesPerMinute: options.rate,
      };
      done(await actions.publish(asked, run(options.json)));
    },
  );
  program
    .command('sweep')
    .description(
      'Compare every table with its manifest once, publish what changed, delete the dumps of what is gone',
    )
    .option('--json', 'one JSON object a line', false)
    .action(async (options: { json: boolean }) => done(await actions.sweep(run(options.json))));
}

function addReading(program: Command, actions: Actions, run: CreateRun, done: Done): void {
  program
    .command('status')
    .description('Which tables are fresh, pending, building, failing')
    .argument('[id]', 'one table only')
    .option('--json', 'one JSON object a line', false)
    .action(async (id: string | undefined, options: { json: boolean }) =>
      done(await actions.status({ id }, run(options.json))),
    );
  program
    .command('verify')
    .description('Read every published blob again and compare it with its manifest')
    .argument('[id]', 'one table only')
    .option('--json', 'one JSON object a line', false)
    .action(async (id: string | undefined, options: { json: boolean }) =>
      done(await actions.verify({ id }, run(options.json))),
    );
  program
    .command('doctor')
    .description('Try every setting and right, and say what to do')
    .option('--json', 'one JSON object a line', false)
    .action(async (options: { json: boolean }) => done(await actions.doctor(run(options.json))));
}

function addTriggers(program: Command, actions: Actions, run: CreateRun, done: Done): void {
  const commands = [
    ['install-triggers', 'Install the change journal: the exact tier of freshness', actions.installTriggers],
    ['remove-triggers', 'Remove the change journal; nothing is left behind', actions.removeTriggers],
  ] as const;
  for (const [name, description, action] of commands) {
    program
      .command(name)
      .description(`${description} (needs CKAN_DATASTORE_WRITE_URL)`)
      .option(
        '--superuser-url <url>',
        'a superuser of the DataStore database, for the event trigger on new tables',
      )
      .option('--print', 'print the SQL instead of running it', false)
      .action(async (options: { superuserUrl?: string; print: boolean }) =>
        done(await action({ superuserUrl: options.superuserUrl, print: options.print }, run())),
      );
  }
  program
    .command('migrate')
    .description('Create or upgrade the schema of the state database; `serve` does it too')
    .action(async () => done(await actions.migrate(run())));
}

/** A parser of whole numbers within bounds, for commander. */
function wholeNumber(least: number, most: number): (text: string) => number {
  return (text) => {
    const value = /^\d+$/.test(text) ? Number(text) : Number.NaN;
    if (value >= least && value <= most) return value;
    throw new InvalidArgumentError(`Expected a whole number from ${least} to ${most}.`);
  };
}

function outputOn({ stdout, stderr }: Terminal, json: boolean): Output {
  return {
    terminal: stdout.isTTY === true,
    columns: stdout.columns ?? 80,
    json,
    line: (text) => void stdout.write(`${text}\n`),
    notice: (text) => void stderr.write(`${text}\n`),
  };
}

/** `--help` shows examples and exit codes, and every setting, read from the settings table. */
const examples = `Examples:
  datastore-dumper demo                                try it, with nothing installed
  datastore-dumper doctor                              is everything set up, and what is missing?
  datastore-dumper serve                               the service
  datastore-dumper publish 2f0a…-resource-id           one table, now, with progress
  datastore-dumper publish --all --rate 60             everything, one table a second at most
  datastore-dumper status --json | jq 'select(.state=="failed")'
  datastore-dumper verify                              read all blobs again, compare checksums
  datastore-dumper install-triggers --print | less     the SQL, before it is run

Exit codes: 0 done, 1 failed, 64 wrong usage, 78 wrong configuration.`;

/** Every setting with its default and meaning, wrapped to `columns`. */
function settingsHelp(columns: number): string {
  const lines = Object.entries<Setting>(settings).flatMap(([name, setting]) => [
    `  ${name}${setting.default === null ? '' : ` (default: ${setting.default})`}`,
    ...wrap(setting.meaning.replaceAll('`', ''), Math.max(40, columns - 6)).map((line) => `      ${line}`),
  ]);
  return ['Settings (environment variables):', ...lines].join('\n');
}

function wrap(text: string, width: number): string[] {
  const lines: string[] = [];
  for (const word of text.split(' ')) {
    const last = lines.at(-1);
    if (last !== undefined && last.length + word.length < width) lines[lines.length - 1] = `${last} ${word}`;
    else lines.push(word);
  }
  return lines;
}
