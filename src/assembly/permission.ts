/** Who may read what, as CKAN says: built from the settings; shared by answers and publications. */
import { anonymous } from '../serve/caller.ts';
import { shareDecisions, type SharedDecisions } from '../serve/decisions.ts';
import { createPermission, openToAll, type Permission } from '../serve/permission.ts';
import type { ResourceId } from '../table.ts';
import type { World } from './world.ts';

/** CKAN's default of `ckan.datastore.public_table_search` (2.12), and what 2.11 gives to anyone. */
const publicByDefault: readonly string[] = ['_table_metadata'];

export interface OpenPermission {
  readonly permission: Permission;
  /** May anonymous users read it? Null while CKAN cannot be asked. */
  mayAnyoneRead(id: ResourceId): Promise<boolean | null>;
  close(): Promise<void>;
}

export function openPermission(world: World): OpenPermission {
  const { config, ckan, metrics } = world;
  if (config.DUMPER_AUTHORIZE === 'off' || ckan === null) {
    return { permission: openToAll, mayAnyoneRead: async () => true, close: async () => undefined };
  }
  const shared = openShared(world);
  const publicTables = config.CKAN__DATASTORE__PUBLIC_TABLE_SEARCH ?? publicByDefault;
  const permission = createPermission({
    ckan,
    decisionSeconds: config.DUMPER_DECISION_CACHE_SECONDS,
    publicTables,
    shared,
    now: Date.now,
    log: world.log,
    onDecision: (from, outcome) => metrics.permissionDecisions.inc({ from, outcome }),
  });
  return {
    permission,
    mayAnyoneRead: async (id) => {
      const permit = await permission.mayRead(id, anonymous);
      return permit.kind === 'unavailable' ? null : permit.kind === 'allowed' && permit.public;
    },
    close: async () => shared?.close(),
  };
}

function openShared({ config, log }: World): SharedDecisions | null {
  return config.CKAN_REDIS_URL === undefined ? null : shareDecisions(config.CKAN_REDIS_URL, log);
}
