/** What answering keeps for itself, made of the world's parts: slots, the manifest cache, permission, shared decisions. */
import type { Ckan } from '../ckan.ts';
import { createRestMemory, type RestMemory } from '../revision.ts';
import { shareDecisions } from './decisions.ts';
import { createManifests, nothingPublished } from './freshness.ts';
import { createPermission, openToAll } from './permission.ts';
import { createSlots } from './slots.ts';
import type { ServeWorld } from './world.ts';

export type ServeParts = Omit<ServeWorld, 'slots' | 'manifests' | 'permission'> & {
  /** Null where nobody is asked (`DUMPER_AUTHORIZE=off`). */
  readonly ckan: Ckan | null;
  /** Since when each table rests; fed by the sweep too where both run in one process. */
  readonly rest?: RestMemory;
};

export interface Serving {
  readonly world: ServeWorld;
  close(): Promise<void>;
}

/** CKAN's default of `public_table_search`, and what 2.11 allows without a setting. */
const publicByDefault = ['_table_metadata'];

export function openServe(parts: ServeParts): Serving {
  const { config, log, metrics, ckan } = parts;
  const now = (): number => parts.now().getTime();
  const shares = config.CKAN_REDIS_URL !== undefined && config.DUMPER_AUTHORIZE === 'ckan';
  const shared = shares ? shareDecisions(config.CKAN_REDIS_URL ?? '', log) : null;
  const publicTables = config.CKAN__DATASTORE__PUBLIC_TABLE_SEARCH ?? publicByDefault;
  const world: ServeWorld = {
    ...parts,
    slots: createSlots(config.DUMPER_LIVE_SLOTS, { onChange: (busy) => metrics.liveSlotsBusy.set(busy) }),
    manifests:
      parts.store === null
        ? nothingPublished
        : createManifests({
            store: parts.store,
            rest: parts.rest ?? createRestMemory(),
            marginSeconds: config.DUMPER_COUNTER_MARGIN_SECONDS,
            retireMarginSeconds: config.DUMPER_RETIRE_MARGIN_SECONDS,
            now: parts.now,
            log,
            onRead: (from) => metrics.manifestReads.inc({ from }),
          }),
    permission:
      ckan === null || config.DUMPER_AUTHORIZE === 'off'
        ? openToAll
        : createPermission({
            ckan,
            decisionSeconds: config.DUMPER_DECISION_CACHE_SECONDS,
            publicTables,
            shared,
            now,
            log,
            onDecision: (from, outcome) => metrics.permissionDecisions.inc({ from, outcome }),
          }),
  };
  metrics.liveSlots.set(config.DUMPER_LIVE_SLOTS);
  return { world, close: async () => shared?.close() };
}
