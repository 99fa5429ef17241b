/**
 * The running service: routes at once, the background as soon as its dependencies answer (P21: recovery needs no
 * restart), and an orderly end (P20: SIGTERM drains).
 */
import type { Config } from '../config/config.ts';
import { createLog, standardError, type Log } from '../log.ts';
import { createApp } from '../serve/app.ts';
import { openTraces } from '../traces.ts';
import { createBackground } from './background.ts';
import { openContext } from './context.ts';
import { listenHttp } from './http-server.ts';
import { openPermission } from './permission.ts';
import type { PublishingOptions } from './publishing.ts';
import { createServeDeps } from './serve-deps.ts';

export interface Service {
  readonly port: number;
  /** Takes nothing new, gives answers and publications their grace, and closes everything. */
  stop(): Promise<void>;
}

export interface ServiceOptions extends Pick<PublishingOptions, 'onStep' | 'silentSeconds'> {
  readonly log?: Log;
}

/** Start from settings; resolves when the port listens. Rejects only for settings that cannot work. */
export async function startService(
  environment: Readonly<Record<string, string | undefined>>,
  config: Config,
  options: ServiceOptions = {},
): Promise<Service> {
  const log = options.log ?? createLog(config.DUMPER_LOG_LEVEL, standardError());
  const context = openContext({ config, log, environment, traces: await openTraces(environment, log) });
  const permission = await openPermission(context);
  const background = createBackground(context, { ...options, permission });
  const ending = new AbortController();
  const closeAll = async (): Promise<void> => {
    await background.close();
    await Promise.all([permission.close(), context.close()]);
  };
  const listening = await createServeDeps(context, permission, background, ending.signal)
    .then((deps) => listenHttp(createApp(deps), { host: config.DUMPER_HOST, port: config.DUMPER_PORT }))
    .catch(async (error: unknown) => {
      await closeAll();
      throw error;
    });
  background.start();
  log.info({ port: listening.port, role: config.DUMPER_ROLE }, 'listening');
  return {
    port: listening.port,
    stop: async () => {
      const graceSeconds = config.DUMPER_DRAIN_SECONDS;
      log.info({ graceSeconds }, 'draining');
      await Promise.all([
        listening.drain(graceSeconds, () => ending.abort()),
        background.drain(graceSeconds),
      ]);
      await closeAll();
      log.info('stopped');
    },
  };
}
