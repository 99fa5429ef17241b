/**
 * Publishing, put together: the state database, the publisher with its traces and its settings leader, and the reporter
 * of task status. `background.ts` opens it for the service, `main.ts` for a command.
 */
import type { AnonymousRights } from '../change/visibility.ts';
import type { BlobStore } from '../blob-store/blob-store.ts';
import { createCkan } from '../ckan/client.ts';
import { createTaskStatusReporter, type TaskStatusReporter } from '../ckan/task-status.ts';
import { DumperError, errorMessage } from '../errors.ts';
import type { PublishDeps } from '../publish/publish.ts';
import { pruneAfterSeconds, type Publisher } from '../publish/publisher.ts';
import { openState, type State } from '../state/state.ts';
import type { AppContext } from './context.ts';
import type { AppPermission } from './permission.ts';
import { createSettingsLeader, type SettingsLeader } from './settings-leader.ts';
import { tracedPublication, tracedSteps } from './tracing.ts';

export interface Publishing {
  readonly context: AppContext;
  readonly store: BlobStore;
  /** Only the leader takes its schedule locks. */
  readonly state: State;
  readonly leader: SettingsLeader;
  readonly publisher: Publisher;
  /** Null without `CKAN_API_TOKEN`. */
  readonly taskStatus: TaskStatusReporter | null;
  /** What CKAN says of anonymous users. */
  readonly rights: AnonymousRights;
  close(): Promise<void>;
}

export interface PublishingOptions {
  readonly permission: AppPermission;
  /** Called at each named step of a publication. */
  readonly onStep?: PublishDeps['onStep'];
  /** A process with other settings that is silent for this long has left; 60 unless given. */
  readonly silentSeconds?: number;
}

/** How long `close` waits until CKAN has the last task status. */
const taskStatusGraceSeconds = 5;

/** Connect to the state database; rejects with `STATE_UNAVAILABLE` when it cannot be asked. */
export async function openPublishing(context: AppContext, options: PublishingOptions): Promise<Publishing> {
  const { config, log, store, traces, profiles } = context;
  if (store === null) throw new DumperError('CONFIGURATION', 'DUMPER_BLOB_STORE: required');
  const state = await openState({
    url: config.DUMPER_STATE_URL ?? '',
    onIdleError: (error) => log.warn({ reason: errorMessage(error) }, 'the state database did not answer'),
  });
  const leader = createSettingsLeader(context, state.pool, options.silentSeconds);
  const taskStatus = openTaskStatus(context, options.permission);
  const publisher: Publisher = {
    ...publishSettings(context, store, options.permission),
    fence: state.fence,
    profile: () => profiles.known(),
    isLeader: leader.isLeader,
    traced: tracedPublication(traces),
    onStep: tracedSteps(traces, options.onStep),
    publications: state.publications,
    taskStatus,
    metrics: context.metrics,
    log,
  };
  const { scheduleLocks } = state;
  return {
    context,
    store,
    state: {
      ...state,
      scheduleLocks: {
        run: async (name, scheduledAt, work) =>
          (await leader.isLeader()) && (await scheduleLocks.run(name, scheduledAt, work)),
      },
    },
    leader,
    publisher,
    taskStatus,
    rights: options.permission,
    close: async () => {
      leader.stop();
      await taskStatus?.close(taskStatusGraceSeconds);
      await state.close();
    },
  };
}

/** What the settings say to the algorithm. */
function publishSettings(
  { config, publishPool, now }: AppContext,
  store: BlobStore,
  permission: AppPermission,
): Omit<PublishDeps, 'fence' | 'profile' | 'onStep'> {
  const underPublicPrefix = config.DUMPER_PUBLIC_BLOB_URL !== undefined;
  return {
    pool: publishPool,
    store,
    variants: config.DUMPER_FORMATS,
    visibility: async (id) => ({ public: await permission.isPublic(id), underPublicPrefix }),
    now,
    lockSeconds: config.DUMPER_LOCK_SECONDS,
    stallSeconds: config.DUMPER_STALL_SECONDS,
    maxSeconds: config.DUMPER_PUBLISH_MAX_SECONDS,
    publicCacheSeconds: config.DUMPER_URL_LIFE_SECONDS,
    retireSeconds: pruneAfterSeconds(config),
  };
}

/** The reporter has a client of its own, so that its failures do not count against permission requests. */
function openTaskStatus(
  { config, log, now }: AppContext,
  permission: AppPermission,
): TaskStatusReporter | null {
  const { CKAN_API_TOKEN: token, CKAN_SITE_URL: siteUrl } = config;
  if (token === undefined || siteUrl === undefined) return null;
  return createTaskStatusReporter({
    ckan: createCkan({ siteUrl, timeoutSeconds: config.DUMPER_CKAN_TIMEOUT_SECONDS, now: Date.now }),
    tokenHeader: config.CKAN__APITOKEN_HEADER_NAME,
    token,
    isPublic: permission.isPublic,
    log,
    now,
  });
}
