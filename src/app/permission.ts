/** Who may read what, as CKAN says: put together from the settings, shared by answers and publications. */
import type { AnonymousRights } from '../change/visibility.ts';
import { publicResources } from '../ckan/public-resources.ts';
import { anonymous } from '../serve/caller.ts';
import { shareDecisions, type SharedDecisions } from '../serve/decisions.ts';
import { createPermission, openToAll, type Permission } from '../serve/permission.ts';
import { parseResourceId, type ResourceId } from '../postgres/table.ts';
import type { AppContext } from './context.ts';

/** CKAN's default of `ckan.datastore.public_table_search` (2.12), and what 2.11 gives to anyone. */
const publicByDefault: readonly string[] = ['_table_metadata'];

type VisibilityListener = (id: ResourceId, isPublic: boolean) => void;

export interface AppPermission extends AnonymousRights {
  readonly permission: Permission;
  /** Calls the listener whenever CKAN has said whether anonymous users may read a table. */
  onVisibility(listener: VisibilityListener): void;
  close(): Promise<void>;
}

export async function openPermission(context: AppContext): Promise<AppPermission> {
  const { config, ckan, metrics } = context;
  if (config.DUMPER_AUTHORIZE === 'off' || ckan === null) {
    return {
      permission: openToAll,
      isPublic: async () => true,
      publicResources: null,
      onVisibility: () => undefined,
      close: async () => undefined,
    };
  }
  const shared = await openShared(context);
  const publicTables = config.CKAN__DATASTORE__PUBLIC_TABLE_SEARCH ?? publicByDefault;
  const listeners: VisibilityListener[] = [];
  const permission = createPermission({
    ckan,
    decisionSeconds: config.DUMPER_DECISION_CACHE_SECONDS,
    publicTables,
    shared,
    now: Date.now,
    log: context.log,
    onDecision: (from, outcome) => metrics.permissionDecisions.inc({ from, outcome }),
    onVisibility: (name, isPublic) => {
      const id = parseResourceId(name);
      if (id !== null) for (const listener of listeners) listener(id, isPublic);
    },
  });
  return {
    permission,
    isPublic: async (id) => {
      const permit = await permission.mayRead(id, anonymous);
      return permit.kind === 'unavailable' ? null : permit.kind === 'allowed' && permit.public;
    },
    publicResources: () => publicResources(ckan),
    onVisibility: (listener) => void listeners.push(listener),
    close: async () => shared?.close(),
  };
}

async function openShared({ config, log }: AppContext): Promise<SharedDecisions | null> {
  return config.CKAN_REDIS_URL === undefined ? null : shareDecisions(config.CKAN_REDIS_URL, log);
}
