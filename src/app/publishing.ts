/** What publishing needs beyond the world: the state database and CKAN's word on who may read. */
import type { AnonymousRights } from '../change/visibility.ts';
import { attempt, type AttemptWorld } from '../change/worker.ts';
import type { PublishOptions, PublishOutcome, PublishWorld } from '../publish/publish.ts';
import { createPublisher, type Publisher } from '../publish/publisher.ts';
import { DumperError, reasonOf } from '../errors.ts';
import type { BlobStore } from '../blob-store/blob-store.ts';
import { openState, type State } from '../state/state.ts';
import { tableState } from '../postgres/revision.ts';
import type { ResourceId } from '../postgres/table.ts';
import type { OpenPermission } from './permission.ts';
import { openReport, reported } from './reporting.ts';
import { tracedPublisher, tracedSteps } from './tracing.ts';
import type { World } from './context.ts';

export interface Publishing {
  readonly world: World;
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
  readonly permission: OpenPermission;
  readonly onStep?: PublishWorld['onStep'];
}

/** How long the end waits until CKAN has heard the last outcomes. */
const reportGraceSeconds = 5;

/** Connect to the state database; rejects with `STATE_UNAVAILABLE` when it cannot be asked. */
export async function openPublishing(world: World, options: PublishingOptions): Promise<Publishing> {
  const { config, log, store } = world;
  if (store === null) throw new DumperError('CONFIGURATION', 'DUMPER_BLOB_STORE: required');
  const opened = await openState({
    url: config.DUMPER_STATE_URL ?? '',
    onIdleError: (error) => log.warn({ reason: reasonOf(error) }, 'the state database'),
  });
  const report = openReport(world, options.permission);
  const state = { ...opened, records: reported(opened.records, report) };
  const plain = createPublisher({
    config,
    pool: world.publishPool,
    store,
    fence: state.fence,
    profile: () => world.profiles.known(),
    mayAnyoneRead: options.permission.mayAnyoneRead,
    metrics: world.metrics,
    log,
    now: world.now,
    onStep: tracedSteps(world.traces, options.onStep),
  });
  const publisher = tracedPublisher(world.traces, plain);
  return {
    world,
    store,
    state,
    rights: options.permission,
    publisher,
    publishNow: (id, published) => attempt(foreground(world, state, publisher, published), id, published),
    close: async () => {
      await report?.close(reportGraceSeconds);
      await state.close();
    },
  };
}

/** An attempt's world whose progress is also told to whoever watches. */
function foreground(
  { config, readPool }: World,
  state: State,
  publisher: Publisher,
  { onProgress }: PublishOptions,
): AttemptWorld {
  return {
    fence: state.fence,
    records: state.records,
    publish: (id, request) =>
      publisher.publish(id, {
        ...request,
        onProgress: (rows, bytes) => {
          request.onProgress(rows);
          onProgress(rows, bytes);
        },
      }),
    withdraw: publisher.withdraw,
    pace: { quietSeconds: 0, hotTableFactor: 0 },
    smallTableBytes: config.DUMPER_SMALL_TABLE_MIB * 1024 * 1024,
    sizeOf: async (id) => (await tableState(readPool, id))?.bytes ?? null,
  };
}
