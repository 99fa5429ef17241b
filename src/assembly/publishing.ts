/** What publishing needs beyond the world: the state database and CKAN's word on who may read. */
import { createPublisher, type Publisher } from '../dump/publisher.ts';
import type { PublishWorld } from '../dump/publish.ts';
import { DumperError, reasonOf } from '../errors.ts';
import { openState, type State } from '../state.ts';
import type { OpenPermission } from './permission.ts';
import type { World } from './world.ts';

export interface Publishing extends Publisher {
  readonly world: World;
  readonly state: State;
  close(): Promise<void>;
}

export interface PublishingOptions {
  readonly permission: OpenPermission;
  readonly onStep?: PublishWorld['onStep'];
}

/** Connect to the state database; rejects with `STATE_UNAVAILABLE` when it cannot be asked. */
export async function openPublishing(world: World, options: PublishingOptions): Promise<Publishing> {
  const { config, log, store } = world;
  if (store === null) throw new DumperError('CONFIGURATION', 'DUMPER_BLOB_STORE: required');
  const state = await openState({
    url: config.DUMPER_STATE_URL ?? '',
    onIdleError: (error) => log.warn({ reason: reasonOf(error) }, 'the state database'),
  });
  const publisher = createPublisher({
    config,
    pool: world.publishPool,
    store,
    fence: state.fence,
    profile: () => world.profiles.known(),
    mayAnyoneRead: options.permission.mayAnyoneRead,
    metrics: world.metrics,
    log,
    now: world.now,
    ...(options.onStep === undefined ? {} : { onStep: options.onStep }),
  });
  return { world, state, ...publisher, close: () => state.close() };
}
