#!/usr/bin/env node
/**
 * The program: reads the environment, the arguments and the signals of the process, which nothing else does, runs one
 * command with the parts that it needs, and ends with its exit code.
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
import { readConfig, type Config, type Environment, type Need } from './config/config.ts';
import { runDemo } from './demo/demo.ts';
import { createLog } from './log.ts';
import { openState } from './state/state.ts';
import { openTraces } from './traces.ts';

/** How long a command waits for CKAN to tell its version. */
const patienceSeconds = 15;

/** People read what a command prints: it logs warnings alone, unless a level is set. */
const quietly = (environment: Environment): Environment => ({ DUMPER_LOG_LEVEL: 'warn', ...environment });

async function withContext(
  environment: Environment,
  needs: readonly Need[],
  work: (context: AppContext, config: Config) => Promise<ExitCode>,
): Promise<ExitCode> {
  const config = readConfig(environment, needs);
  const log = createLog(config.DUMPER_LOG_LEVEL);
  const traces = await openTraces(environment, log);
  const context = openContext({ config, log, environment, traces, patienceSeconds });
  try {
    return await work(context, config);
  } finally {
    await context.close();
  }
}

async function withPublishing(
  environment: Environment,
  work: (publishing: Publishing) => Promise<ExitCode>,
): Promise<ExitCode> {
  return withContext(quietly(environment), ['read', 'site', 'publish'], async (context) => {
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

/** There are as many connections as publications at once. */
function withSlots(environment: Environment, concurrency: number | undefined): Environment {
  return concurrency === undefined
    ? environment
    : { ...environment, DUMPER_PUBLISH_SLOTS: String(concurrency) };
}

/** What `serve` needs: a role that publishes cannot do without state and store, and half of the two is an error. */
function serveNeeds(environment: Environment): Need[] {
  const { DUMPER_ROLE: role, DUMPER_STATE_URL: state, DUMPER_BLOB_STORE: store } = environment;
  const isPartlySet = state !== undefined || store !== undefined;
  const publishes = role === 'publish' || (role !== 'serve' && isPartlySet);
  return ['read', 'site', ...(publishes ? (['publish'] as const) : [])];
}

/** Needs the blob store alone, so that a copy of it can be verified anywhere. */
async function verify(environment: Environment, { id }: TableOptions, run: Run): Promise<ExitCode> {
  const { DUMPER_BLOB_STORE: address = '' } = readConfig(environment, ['store']);
  const store = openBlobStore(address, { environment, signingSecret: 'nothing is signed' });
  try {
    return await verifyCommand(store, id, run);
  } finally {
    await store.close();
  }
}

function createActions(environment: Environment): Actions {
  const serve = async (run: Run): Promise<ExitCode> => {
    const service = await startService(environment, readConfig(environment, serveNeeds(environment)));
    await untilAborted(run.signal);
    await service.stop();
    return 0;
  };
  return {
    serve,
    publish: (options, run) =>
      withPublishing(withSlots(environment, options.concurrency), (publishing) =>
        publishCommand(publishing, options, run),
      ),
    sweep: (run) => withPublishing(environment, (publishing) => sweepCommand(publishing, run)),
    status: ({ id }, run) => withPublishing(environment, (publishing) => statusCommand(publishing, id, run)),
    verify: (options, run) => verify(quietly(environment), options, run),
    migrate: async (run) => {
      const config = readConfig(environment, ['publish']);
      const state = await openState({ url: config.DUMPER_STATE_URL ?? '', onIdleError: () => undefined });
      await state.close();
      run.output.line('The state database is up to date.');
      return 0;
    },
    installTriggers: (options, run) =>
      installCommand(readConfig(environment, options.print ? ['read'] : ['read', 'write']), options, run),
    removeTriggers: (options, run) =>
      removeCommand(readConfig(environment, options.print ? ['read'] : ['read', 'write']), options, run),
    demo: (options, run) => runDemo(options, run, demoParts()),
    doctor: (run) =>
      withContext(quietly(environment), ['read', 'site'], (context) => doctorCommand(context, run)),
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

/** Aborts at the first SIGINT or SIGTERM; the second one ends the process at once. */
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

// the reader of our output has closed it (`… | head`)
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
