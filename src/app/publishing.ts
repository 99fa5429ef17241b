/** What publishing needs beyond the world: the state database and CKAN's word on who may read. */
import type { AnonymousRights } from '../change/visibility.ts';
import { publishAndRecord, type WorkerDeps } from '../change/worker.ts';
import type { PublishOptions, PublishOutcome, PublishDeps } from '../publish/publish.ts';
import { createPublisher, type Publisher } from '../publish/publisher.ts';
import { DumperError, errorMessage } from '../errors.ts';
import type { BlobStore } from '../blob-store/blob-store.ts';
import { openState, type State } from '../state/state.ts';
import { tableState } from '../postgres/revision.ts';
import type { ResourceId } from '../postgres/table.ts';
import type { AppPermission } from './permission.ts';
import { openTaskStatus, withTaskStatus } from './reporting.ts';
import { tracedPublisher, tracedSteps } from './tracing.ts';
import type { AppContext } from './context.ts';

export interface Publishing {
  readonly context: AppContext;
  readonly store: BlobStore;
  readonly state: State;
  /** What CKAN says of anonymous users. */
  readonly rights: AnonymousRights;
  /** The bare act, for the queue, which remembers outcomes itself. */
  readonly publisher: Publisher;
  /** Publish one table now, remember the outcome, let go of its fence. */
  publishNow(id: ResourceId, options: PublishOptions): Promise<PublishOutcome>;
  close(): Promise<void>;
}

export interface PublishingOptions {
  readonly permission: AppPermission;
  readonly onStep?: PublishDeps['onStep'];
}

/** How long the end waits until CKAN has heard the last outcomes. */
const reportGraceSeconds = 5;

/** Connect to the state database; rejects with `STATE_UNAVAILABLE` when it cannot be asked. */
export async function openPublishing(context: AppContext, options: PublishingOptions): Promise<Publishing> {
  const { config, log, store } = context;
  if (store === null) throw new DumperError('CONFIGURATION', 'DUMPER_BLOB_STORE: required');
  const opened = await openState({
    url: config.DUMPER_STATE_URL ?? '',
    onIdleError: (error) => log.warn({ reason: errorMessage(error) }, 'the state database'),
  });
  const report = openTaskStatus(context, options.permission);
  const state = { ...opened, publications: withTaskStatus(opened.publications, report) };
  const plain = createPublisher({
    config,
    pool: context.publishPool,
    store,
    fence: state.fence,
    profile: () => context.profiles.known(),
    mayAnyoneRead: options.permission.isPublic,
    metrics: context.metrics,
    log,
    now: context.now,
    onStep: tracedSteps(context.traces, options.onStep),
  });
  const publisher = tracedPublisher(context.traces, plain);
  return {
    context: context,
    store,
    state,
    rights: options.permission,
    publisher,
    publishNow: (id, published) =>
      publishAndRecord(foreground(context, state, publisher, published), id, published),
    close: async () => {
      await report?.close(reportGraceSeconds);
      await state.close();
    },
  };
}

/** An attempt's world whose progress is also told to whoever watches. */
function foreground(
  { config, readPool }: AppContext,
  state: State,
  publisher: Publisher,
  { onProgress }: PublishOptions,
): WorkerDeps {
  return {
    fence: state.fence,
    publications: state.publications,
    publish: (id, request) =>
      publisher.publish(id, {
        ...request,
        onProgress: (rows, bytes) => {
          request.onProgress(rows);
          onProgress(rows, bytes);
        },
      }),
    unpublish: publisher.unpublish,
    timing: { quietSeconds: 0, hotTableFactor: 0 },
    smallTableBytes: config.DUMPER_SMALL_TABLE_MIB * 1024 * 1024,
    sizeOf: async (id) => (await tableState(readPool, id))?.bytes ?? null,
  };
}
