#!/usr/bin/env node
/**
 * The only reader of `process`: builds the world from the environment, runs one command, and ends with its exit code.
 */
import { readFileSync } from 'node:fs';
import { openPermission } from './app/permission.ts';
import { openPublishing, type Publishing } from './app/publishing.ts';
import { startService } from './app/service.ts';
import { openContext, type AppContext } from './app/context.ts';
import { openBlobStore } from './blob-store/open.ts';
import { runProgram, type Actions, type ExitCode, type Run, type TableOptions } from './cli/program.ts';
import { doctorCommand } from './cli/commands/doctor.ts';
import { publishCommand } from './cli/commands/publish.ts';
import { statusCommand } from './cli/commands/status.ts';
import { sweepCommand } from './cli/commands/sweep.ts';
import { installCommand, removeCommand } from './cli/commands/triggers.ts';
import { verifyCommand } from './cli/commands/verify.ts';
import { readConfig, type Config, type Need } from './config/config.ts';
import { runDemo, type Environment } from './demo/demo.ts';
import { createLog } from './log.ts';
import { openState } from './state/state.ts';
import { openTraces } from './traces.ts';

type Variables = Readonly<Record<string, string | undefined>>;

/** A command that is waited for does not wait longer than this for CKAN to tell its version. */
const patienceSeconds = 15;

/** Commands speak to people: of the log only what they must know, unless a level is set. */
const quietly = (variables: Variables): Variables => ({ DUMPER_LOG_LEVEL: 'warn', ...variables });

async function withWorld(
  variables: Variables,
  needs: readonly Need[],
  work: (context: AppContext, config: Config) => Promise<ExitCode>,
): Promise<ExitCode> {
  const config = readConfig(variables, needs);
  const log = createLog(config.DUMPER_LOG_LEVEL);
  const traces = await openTraces(variables, log);
  const context = openContext({ config, log, environment: variables, traces, patienceSeconds });
  try {
    return await work(context, config);
  } finally {
    await context.close();
  }
}

async function withPublishing(
  variables: Variables,
  work: (publishing: Publishing) => Promise<ExitCode>,
): Promise<ExitCode> {
  return withWorld(quietly(variables), ['read', 'site', 'publish'], async (context) => {
    await context.profiles.known();
    const permission = await openPermission(context);
    const publishing = await openPublishing(context, { permission });
    try {
      return await work(publishing);
    } finally {
      await publishing.close();
      await permission.close();
    }
  });
}

/** As many connections as publications at once. */
function withSlots(variables: Variables, concurrency: number | undefined): Variables {
  return concurrency === undefined ? variables : { ...variables, DUMPER_PUBLISH_SLOTS: String(concurrency) };
}

/** What `serve` needs: a publishing role cannot do without state and store, a serving one can. */
function serveNeeds(variables: Variables): Need[] {
  const configured =
    variables['DUMPER_STATE_URL'] !== undefined && variables['DUMPER_BLOB_STORE'] !== undefined;
  const publishes =
    variables['DUMPER_ROLE'] === 'publish' || (variables['DUMPER_ROLE'] !== 'serve' && configured);
  const half = variables['DUMPER_STATE_URL'] !== undefined || variables['DUMPER_BLOB_STORE'] !== undefined;
  const needsPublishing = publishes || (half && variables['DUMPER_ROLE'] !== 'serve');
  return ['read', 'site', ...(needsPublishing ? (['publish'] as const) : [])];
}

/** Of all that is configured only the blob store is asked: a copy of it can be verified anywhere. */
async function verify(variables: Variables, { id }: TableOptions, run: Run): Promise<ExitCode> {
  const { DUMPER_BLOB_STORE: address = '' } = readConfig(variables, ['store']);
  const store = openBlobStore(address, { environment: variables, signingSecret: 'nothing is signed' });
  try {
    return await verifyCommand(store, id, run);
  } finally {
    await store.close();
  }
}

function createActions(variables: Variables): Actions {
  const serve = async (run: Run): Promise<ExitCode> => {
    const sidecar = await startService(variables, readConfig(variables, serveNeeds(variables)));
    await untilAborted(run.signal);
    await sidecar.stop();
    return 0;
  };
  return {
    serve,
    publish: (options, run) =>
      withPublishing(withSlots(variables, options.concurrency), (publishing) =>
        publishCommand(publishing, options, run),
      ),
    sweep: (run) => withPublishing(variables, (publishing) => sweepCommand(publishing, run)),
    status: ({ id }, run) => withPublishing(variables, (publishing) => statusCommand(publishing, id, run)),
    verify: (options, run) => verify(quietly(variables), options, run),
    migrate: async (run) => {
      const config = readConfig(variables, ['publish']);
      const state = await openState({ url: config.DUMPER_STATE_URL ?? '', onIdleError: () => undefined });
      await state.close();
      run.output.line('The state database is up to date.');
      return 0;
    },
    installTriggers: (options, run) =>
      installCommand(readConfig(variables, options.print ? ['read'] : ['read', 'write']), options, run),
    removeTriggers: (options, run) =>
      removeCommand(readConfig(variables, options.print ? ['read'] : ['read', 'write']), options, run),
    demo: (options, run) => runDemo(options, run, demoParts()),
    doctor: (run) =>
      withWorld(quietly(variables), ['read', 'site'], (context) => doctorCommand(context, run)),
  };
}

/** The demo runs the product's own commands on settings of its own. */
function demoParts(): Parameters<typeof runDemo>[2] {
  return {
    installTriggers: async (environment, superuserUrl, signal) => {
      const silent = {
        terminal: false,
        columns: 80,
        json: false,
        line: () => undefined,
        notice: () => undefined,
      };
      const config = readConfig(environment, ['read', 'write']);
      await installCommand(config, { superuserUrl, print: false }, { signal, output: silent });
    },
    publishAll: (environment: Environment, run) =>
      createActions(environment).publish(
        { ids: [], all: true, concurrency: undefined, tablesPerMinute: undefined },
        run,
      ),
    startService: (environment) => startService(environment, readConfig(environment, ['read', 'publish'])),
  };
}

async function untilAborted(signal: AbortSignal): Promise<void> {
  if (signal.aborted) return;
  const { promise, resolve } = Promise.withResolvers<void>();
  signal.addEventListener('abort', () => resolve(), { once: true });
  await promise;
}

/** The first SIGINT or SIGTERM asks for an end, the second one is the end. */
function endSignal(): AbortSignal {
  const ending = new AbortController();
  const onSignal = (): void => {
    if (ending.signal.aborted) process.exit(1);
    ending.abort();
  };
  process.on('SIGINT', onSignal).on('SIGTERM', onSignal);
  return ending.signal;
}

function version(): string {
  const manifest = readFileSync(new URL('../package.json', import.meta.url), 'utf8');
  return (JSON.parse(manifest) as { version: string }).version;
}

// whoever read our output has enough of it (`… | head`)
process.stdout.on('error', (error: NodeJS.ErrnoException) => {
  if (error.code !== 'EPIPE') throw error;
  process.exit(0);
});

process.exitCode = await runProgram(process.argv.slice(2), createActions(process.env), {
  stdout: process.stdout,
  stderr: process.stderr,
  signal: endSignal(),
  version: version(),
});
